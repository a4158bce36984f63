-- The requests of wrk, and the output of the results. Arguments:
--   steady TOKEN                      one token
--   rotation TOKEN NEXT_TOKEN SECOND  every other request with the next token, from this time (Unix seconds)
--   unknown TOKEN COUNT ALGORITHM     tokens with COUNT unknown keys, a hundred per second and connection

local function headers(token)
  return { Authorization = "Bearer " .. token }
end

local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

local function base64url(text)
  local digits = {}
  for i = 1, #text, 3 do
    local a, b, c = text:byte(i, i + 2)
    local bits = a * 65536 + (b or 0) * 256 + (c or 0)
    for place = 3, c and 0 or b and 1 or 2, -1 do
      local digit = math.floor(bits / 64 ^ place) % 64
      digits[#digits + 1] = alphabet:sub(digit + 1, digit + 1)
    end
  end
  return table.concat(digits)
end

-- wrk calls a function `request` for each request, so it is only defined if the requests differ.
function init(arguments)
  local mode, token = arguments[1], arguments[2]
  if mode == "steady" then
    wrk.headers = headers(token)
  elseif mode == "rotation" then
    local switch, sent = tonumber(arguments[4]), 0
    local requests = { [0] = wrk.format(nil, nil, headers(token)), wrk.format(nil, nil, headers(arguments[3])) }
    function request()
      sent = sent + 1
      return requests[os.time() >= switch and sent % 2 or 0]
    end
  elseif mode == "unknown" then
    local count, algorithm, sent, rest = tonumber(arguments[3]), arguments[4], 0, token:match("%..*")
    function delay()
      return 10
    end
    function request()
      sent = sent + 1
      local header = string.format('{"alg":"%s","typ":"at+jwt","kid":"unknown-%d"}', algorithm, sent % count)
      return wrk.format(nil, nil, headers(base64url(header) .. rest))
    end
  end
end

-- Times are in microseconds. `invalid` counts responses other than 2xx and 3xx.
function done(summary, latency)
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  print(string.format("result requests=%d duration=%d p50=%d p99=%d max=%d invalid=%d broken=%d", summary.requests,
    summary.duration, latency:percentile(50), latency:percentile(99), latency.max, errors.status, broken))
end
