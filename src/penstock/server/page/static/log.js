// What a try printed: whole if it has ended, else as it is printed.

import { h } from "./dom.js";
import { api, textAt } from "./api.js";

const CHARS_MAX = 400000;
const NEAR_END_PX = 40;

/** Shows one log at a time; `changed` is called when its words change. */
export class LogTail {
  #changed;
  #key = "";
  #source = null;
  #text = document.createTextNode("");
  #node = null;
  #state = "";

  constructor(changed) {
    this.#changed = changed;
  }

  /** Show the log of `attempt`, which it keeps showing if it is the same in the same phase. */
  open(run, attempt) {
    const key = JSON.stringify([run, attempt.step, attempt.item, attempt.attempt, attempt.phase === "running"]);
    if (key === this.#key) return;
    const wasSame = this.#key && JSON.parse(this.#key).slice(0, 4).join() === JSON.parse(key).slice(0, 4).join();
    // What was followed to its end is whole already.
    if (wasSame && this.#state === "ended") {
      this.#key = key;
      return;
    }
    this.close();
    this.#key = key;
    const which = { step: attempt.step, item: attempt.item, attempt: attempt.attempt };
    if (attempt.phase === "running") this.#follow(api.log(run, { ...which, follow: true }));
    else this.#whole(api.log(run, which), key);
  }

  close() {
    this.#source?.close();
    this.#source = null;
    this.#key = "";
    this.#text.data = "";
  }

  words() {
    const told = { following: "Its output, as it is printed", ended: "Its output", none: "It has printed nothing.", lost: "No more of its output is to be had." };
    return told[this.#state] ?? "Its output is being read.";
  }

  draw() {
    const made = (node) => {
      this.#node = node;
      node.append(this.#text);
    };
    return h("pre", { class: "log", own: true, made, tabindex: "0", role: "log", "aria-live": "off", "aria-label": "Output of the step", hidden: this.#text.data === "" });
  }

  #become(state) {
    this.#state = state;
    this.#changed();
  }

  #follow(address) {
    this.#become("following");
    const source = (this.#source = new EventSource(address));
    source.addEventListener("log", (event) => this.#add(JSON.parse(event.data).text));
    source.addEventListener("end", () => {
      source.close();
      this.#become(this.#text.data ? "ended" : "none");
    });
    // It would begin from the start again; the next push about the run opens it afresh.
    source.onerror = () => {
      source.close();
      this.#become("lost");
    };
  }

  async #whole(address, key) {
    this.#become("reading");
    try {
      const { text } = await textAt(address, CHARS_MAX);
      if (this.#key !== key) return;
      this.#add(text);
      this.#become(text ? "ended" : "none");
    } catch {
      if (this.#key === key) this.#become("lost");
    }
  }

  #add(text) {
    const node = this.#node;
    const isAtEnd = !node || node.scrollHeight - node.scrollTop - node.clientHeight < NEAR_END_PX;
    const wasEmpty = this.#text.data === "";
    this.#text.appendData(text);
    if (this.#text.length > CHARS_MAX) this.#text.deleteData(0, this.#text.length - CHARS_MAX);
    if (wasEmpty && text) this.#changed();
    if (node && isAtEnd) node.scrollTop = node.scrollHeight;
  }
}
