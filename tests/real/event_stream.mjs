// An event stream as its reader sees it: what came so far, and whether and how it ended.

export class EventStream {
  /** How it ended: `null` while it is open, `'clean'`, or the error of a stream that was cut off. */
  end = null;
  /** By the clock, in milliseconds. */
  endedAt;
  #text = '';
  #reader;

  /** Reads the body of `response` from now on. */
  constructor(response) {
    this.#reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    this.#read();
  }

  get isOpen() {
    return this.end === null;
  }

  /** The data of every event so far, but for those without any. */
  get data() {
    return eventData(this.#text);
  }

  /** Whether nothing is left over of an event that has begun. */
  get isBetweenEvents() {
    return this.#text === '' || this.#text.endsWith('\n\n');
  }

  /** Stops reading; the server notices. */
  async close() {
    await this.#reader.cancel().catch(() => {});
  }

  async #read() {
    try {
      for (;;) {
        const { done, value } = await this.#reader.read();
        if (done) break;
        this.#text += value;
      }
      this.end = 'clean';
    } catch (error) {
      this.end = error;
    }
    this.endedAt = Date.now();
  }
}

/** The data of each event in `text` that has some. */
export function eventData(text) {
  const data = (event) => event.split('\n').flatMap((line) => /^data: ?(.*)$/.exec(line)?.slice(1) ?? []);
  return text
    .split('\n\n')
    .map((event) => data(event).join('\n'))
    .filter(Boolean);
}
