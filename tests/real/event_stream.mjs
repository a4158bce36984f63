// An event stream as a client receives it: the data so far, and whether and how it ended.

export class EventStream {
  /** `null` while the stream is open, `'clean'` after a regular end, or the error that broke the stream. */
  end = null;
  /** The time of the end, in milliseconds since the epoch. */
  endedAt;
  #text = '';
  #reader;

  /** Starts to read the body of `response`. */
  constructor(response) {
    this.#reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    this.#read();
  }

  get isOpen() {
    return this.end === null;
  }

  /** The data of all events so far, without empty events. */
  get data() {
    return eventData(this.#text);
  }

  /** Whether the data so far ends with a complete event. */
  get isBetweenEvents() {
    return this.#text === '' || this.#text.endsWith('\n\n');
  }

  /** Stops reading and closes the connection. */
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

/** Returns the data of each event in `text`, without empty events. */
export function eventData(text) {
  const data = (event) => event.split('\n').flatMap((line) => /^data: ?(.*)$/.exec(line)?.slice(1) ?? []);
  return text
    .split('\n\n')
    .map((event) => data(event).join('\n'))
    .filter(Boolean);
}
