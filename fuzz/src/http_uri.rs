//! RFC 3986, followed step by step with strings: the grammar of a URI, and its normal form.

/// Returns whether a URI is valid and has this origin and the path of a request. Query and fragment are ignored.
///
/// A request whose path has a dot segment, or is not in the grammar, is for no URI.
pub fn is_same_url(uri: &str, origin: &str, path: &str) -> bool {
    let Some((own_scheme, own_host)) = origin.split_once("://") else { return false };
    let Some((scheme, rest)) = uri.split_once("://") else { return false };
    let rest = match rest.split_once('#') {
        Some((rest, fragment)) if is_valid(fragment, ":@/?") => rest,
        Some(_) => return false,
        None => rest,
    };
    let rest = match rest.split_once('?') {
        Some((rest, query)) if is_valid(query, ":@/?") => rest,
        Some(_) => return false,
        None => rest,
    };
    let (authority, named) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let host = match authority.split_once(':') {
        Some((host, "" | "443")) => host,
        Some(_) => return false,
        None => authority,
    };
    let is_path = path.is_empty() || path.starts_with('/');
    let has_dots = percent_normal(path).split('/').any(|segment| segment == "." || segment == "..");
    scheme.eq_ignore_ascii_case(own_scheme)
        && is_valid(host, "")
        && percent_normal(host).to_ascii_lowercase() == own_host
        && is_valid(named, ":@/")
        && is_valid(path, ":@/")
        && is_path
        && !has_dots
        && normal_path(named) == normal_path(path)
}

/// Returns the normal form of a path (RFC 3986, sections 6.2.2 and 6.2.3).
pub fn normal_path(path: &str) -> String {
    let path = without_dot_segments(&percent_normal(path));
    if path.is_empty() { "/".to_owned() } else { path }
}

/// Follows RFC 3986, section 5.2.4, with its two buffers.
fn without_dot_segments(path: &str) -> String {
    let (mut input, mut output) = (path.to_owned(), String::new());
    while !input.is_empty() {
        if let Some(rest) = input.strip_prefix("../").or_else(|| input.strip_prefix("./")) {
            input = rest.to_owned();
        } else if input.starts_with("/./") || input == "/." {
            input = format!("/{}", input.get(3..).unwrap_or_default());
        } else if input.starts_with("/../") || input == "/.." {
            input = format!("/{}", input.get(4..).unwrap_or_default());
            output.truncate(output.rfind('/').unwrap_or_default());
        } else if input == "." || input == ".." {
            input.clear();
        } else {
            let end = input.char_indices().skip(1).find(|(_, character)| *character == '/');
            let rest = input.split_off(end.map_or(input.len(), |(at, _)| at));
            output += &input;
            input = rest;
        }
    }
    output
}

/// Decodes unreserved characters, and writes all other percent-encodings in upper case.
fn percent_normal(text: &str) -> String {
    let mut normal = text.to_owned();
    // Most texts are without percent-encoding, and the fuzzer is faster without the loops.
    if !text.contains('%') {
        return normal;
    }
    for byte in 0..=u8::MAX {
        let upper_case = format!("%{byte:02X}");
        for high in [format!("{:x}", byte >> 4), format!("{:X}", byte >> 4)] {
            for low in [format!("{:x}", byte & 15), format!("{:X}", byte & 15)] {
                normal = normal.replace(&format!("%{high}{low}"), &upper_case);
            }
        }
    }
    for byte in (0..=u8::MAX).filter(|byte| is_unreserved(char::from(*byte))) {
        normal = normal.replace(&format!("%{byte:02X}"), &char::from(byte).to_string());
    }
    normal
}

fn is_valid(text: &str, more: &str) -> bool {
    let pieces: Vec<&str> = text.split('%').collect();
    let (first, encoded) = pieces.split_first().expect("a split has a first piece");
    let is_plain = |text: &str| text.chars().all(|c| is_unreserved(c) || "!$&'()*+,;=".contains(c) || more.contains(c));
    let has_digits = |piece: &&str| piece.len() >= 2 && piece.bytes().take(2).all(|digit| digit.is_ascii_hexdigit());
    is_plain(first) && encoded.iter().all(|piece| has_digits(piece) && is_plain(piece))
}

fn is_unreserved(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~".contains(character)
}
