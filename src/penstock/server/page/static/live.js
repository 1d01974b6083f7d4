// The one stream of the page. Everything that changes on it changes because of a message here.

const RETRY_MS = 2000;
const RETRY_MS_MAX = 60000;

/** Listens at `address`; tells `heard(message)`, and `stood(whether)` when the line comes or goes. */
export class Live {
  #address;
  #heard;
  #stood;
  #source = null;
  #wait = RETRY_MS;
  #kinds;

  constructor(address, kinds, heard, stood) {
    this.#address = address;
    this.#kinds = kinds;
    this.#heard = heard;
    this.#stood = stood;
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
      this.#stood(true);
    };
    source.onmessage = (event) => this.#take(event);
    for (const kind of this.#kinds) source.addEventListener(kind, (event) => this.#take(event));
    source.onerror = () => this.#lost(source);
  }

  #take(event) {
    const message = JSON.parse(event.data);
    this.#heard(event.type === "message" ? message : { kind: event.type, ...message });
  }

  #lost(source) {
    this.#stood(false);
    // The browser tries again by itself, except where the answer was no stream.
    if (source.readyState !== EventSource.CLOSED || source !== this.#source) return;
    this.#source = null;
    setTimeout(() => this.#source === null && this.open(), this.#wait);
    this.#wait = Math.min(this.#wait * 2, RETRY_MS_MAX);
  }

  #close() {
    this.#source?.close();
    this.#source = null;
  }
}
