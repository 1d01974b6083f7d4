// Published files with a look inside: pictures, JSON, text. Never as a part of this page.

import { textAt } from "./api.js";
import { h } from "./dom.js";
import { base, folder, visible } from "./wording.js";

const SHOWN_MAX = 60;
const CHARS_MAX = 4000;

/** Previews of outputs; `changed` is called when one has been read. */
export class OutputPreviews {
  #changed;
  #texts = new Map();
  #broken = new Set();

  constructor(changed) {
    this.#changed = changed;
  }

  draw(outputs) {
    const hidden = outputs.length - SHOWN_MAX;
    return [
      h("div", { class: "outputs" }, outputs.slice(0, SHOWN_MAX).map((each) => this.#figure(each))),
      hidden > 0 ? h("p", { class: "more note" }, `${hidden} more are in the same folders.`) : null,
    ];
  }

  #figure(output) {
    const name = visible(output.path);
    return h(
      "figure",
      { class: "output", key: output.href },
      this.#view(output, name),
      h(
        "figcaption",
        null,
        this.#link(output, name),
        h("span", { class: "under" }, folder(name)),
        h("span", { class: "under" }, ` from step ${output.step}${output.item >= 0 ? `, item ${output.item}` : ""}`),
      ),
    );
  }

  #link(output, name) {
    if (this.#broken.has(output.href)) return h("span", { class: "file" }, base(name));
    const rest = isPage(output) ? " report in a new tab, without scripts" : " in a new tab";
    return h("a", { class: "file", href: output.href, target: "_blank", rel: "noopener noreferrer" }, base(name), h("span", { class: "unseen" }, rest));
  }

  #view(output, name) {
    if (this.#broken.has(output.href)) return h("div", { class: "view pad note" }, "It has been replaced or removed since.");
    if (output.image) {
      const onerror = () => this.#lose(output.href);
      return h("div", { class: "view", key: "image" }, h("img", { src: output.href, alt: `Picture ${base(name)}`, loading: "lazy", decoding: "async", onerror }));
    }
    if (/^(text\/plain|application\/json)/.test(output.media)) return this.#textView(output);
    const [suffix] = /\.[a-z0-9]{1,5}$/i.exec(output.path) ?? [""];
    return h("div", { class: "view page", key: "other" }, suffix || "file", h("span", { class: "under" }, isPage(output) ? "opens in a new tab, without scripts" : "to be downloaded"));
  }

  #textView(output) {
    if (!this.#texts.has(output.href)) this.#read(output);
    const text = this.#texts.get(output.href);
    return h("div", { class: "view text", key: "text" }, h("pre", { tabindex: "0", role: "group", "aria-label": `Beginning of ${visible(base(output.path))}` }, text || "…"));
  }

  async #read(output) {
    this.#texts.set(output.href, "");
    try {
      const { text, whole } = await textAt(output.href, output.media === "application/json" ? 16 * CHARS_MAX : CHARS_MAX);
      this.#texts.set(output.href, shown(text, whole, output.media));
      this.#changed();
    } catch {
      this.#lose(output.href);
    }
  }

  #lose(address) {
    this.#broken.add(address);
    this.#changed();
  }
}

function isPage(output) {
  return output.media.startsWith("text/html");
}

function shown(text, whole, media) {
  let pretty = text;
  if (whole && media === "application/json") {
    try {
      pretty = JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      // A file that calls itself JSON and is none is shown as it is.
    }
  }
  return pretty.length > CHARS_MAX || !whole ? `${pretty.slice(0, CHARS_MAX)}\n…` : pretty || "(empty)";
}
