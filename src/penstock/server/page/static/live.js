// The one stream of the page. Everything that changes on it changes because of a message here.

const RETRY_MS = 2000;
const RETRY_MS_MAX = 60000;

export class Live {
  #address;
  #on;
  #source = null;
  #wait = RETRY_MS;

  /**
   * @param address Of the stream.
   * @param on `heard(message)`; `stood(whether)` when the line comes or goes; `mayTry()`, asked when the
   *   stream was refused, resolves to whether it is worth asking again.
   */
  constructor(address, on) {
    this.#address = address;
    this.#on = on;
    // A page that is left gives its stream back; one that is come back to takes a new one.
    addEventListener("pagehide", () => this.#close());
    addEventListener("pageshow", (event) => event.persisted && this.open());
    addEventListener("online", () => this.#source === null && this.open());
  }

  open() {
    this.#close();
    const source = (this.#source = new EventSource(this.#address));
    source.onopen = () => {
      this.#wait = RETRY_MS;
      this.#on.stood(true);
    };
    source.onmessage = (event) => this.#on.heard(JSON.parse(event.data));
    source.onerror = () => this.#lost(source);
  }

  async #lost(source) {
    this.#on.stood(false);
    // The browser tries again by itself, except where the answer was no stream.
    if (source.readyState !== EventSource.CLOSED || source !== this.#source) return;
    this.#source = null;
    if (!(await this.#on.mayTry())) return;
    setTimeout(() => this.#source === null && this.open(), this.#wait);
    this.#wait = Math.min(this.#wait * 2, RETRY_MS_MAX);
  }

  #close() {
    this.#source?.close();
    this.#source = null;
  }
}
