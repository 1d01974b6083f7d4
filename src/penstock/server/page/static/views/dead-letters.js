// What could not be processed: why, what it was, and a second chance.

import { api, Problem } from "../api.js";
import { confirm, notice } from "../dialog.js";
import { h } from "../dom.js";
import { button, empty, errorBox, facts, firstLine, head, panel, state, table, time } from "../parts.js";
import { base, count, folder, path, short, visible } from "../wording.js";

const PAGE = 100;
const MOST = 1000;
const STATES = ["open", "replayed", "dropped"];
const KINDS = { notice: "a notice that could not be read", event: "an event that could not be read", step: "a step that ran out of tries", loop: "a ring of triggers" };

export class DeadLetters {
  title = "Dead letters";
  #state = "open";
  #letters = [];
  #next = null;
  #shown = PAGE;

  async load(_names, query) {
    this.#state = query.get("state") ?? "open";
    const page = await api.letters({ state: this.#state === "all" ? "" : this.#state, limit: this.#shown });
    this.#letters = page.dead_letters;
    this.#next = page.next;
  }

  hear(message) {
    if (message.kind === "deadletter" || message.kind === "status") this.reload();
  }

  steer() {
    this.#shown = PAGE;
    this.reload();
  }

  draw() {
    const columns = [
      { title: "Reason", fill: true, cell: (row) => [letterLink(row), h("span", { class: "under" }, subjectOf(row))] },
      { title: "What", cell: (row) => row.kind },
      { title: "State", cell: (row) => state(row.state) },
      { title: "When", num: true, cell: (row) => time(row.at) },
    ];
    const tabs = [...STATES, "all"].map((each) => h("a", { key: each, class: "tab", href: `/dead-letters?state=${each}`, "aria-current": each === this.#state ? "true" : undefined }, each));
    return [
      head("Dead letters", { sub: "What could not be processed. Nothing is dropped unless a person drops it." }),
      h(
        "section",
        { class: "panel", "aria-label": "Dead letters" },
        h("nav", { class: "tabs", "aria-label": "State" }, tabs),
        this.#letters.length ? table("Dead letters, newest first", columns, this.#letters) : empty(this.#state === "open" ? "None is open. Everything that came was processed." : "There are none."),
        this.#next && this.#shown < MOST ? h("div", { class: "more" }, button("Show more", () => this.#more())) : null,
      ),
    ];
  }

  #more() {
    this.#shown = Math.min(this.#shown + PAGE, MOST);
    this.reload();
  }
}

function letterLink(letter) {
  return h("a", { class: "file", "data-row": true, href: `/dead-letters/${encodeURIComponent(letter.id)}` }, visible(firstLine(letter.reason)));
}

function subjectOf(letter) {
  return path(letter.subject);
}

/** One dead letter, to be read, mended and replayed. */
export class DeadLetter {
  title = "Dead letter";
  #id = "";
  #shown = null;
  #origin = null;
  #text = null;
  #problem = "";

  async load([id]) {
    this.#id = id;
    this.#shown = await api.letter(id);
    const run = this.#shown.letter.run;
    this.#origin = run ? await api.run(run).catch(() => null) : null;
  }

  hear(message) {
    if (message.kind === "deadletter" && message.id === this.#id) this.reload();
  }

  /** The event as it was: of the run that failed, else what the letter holds. */
  #original() {
    const event = this.#origin?.event?.event ?? this.#shown.event;
    return event === null || event === undefined ? this.#shown.text : JSON.stringify(event, null, 2);
  }

  draw() {
    const { letter } = this.#shown;
    const isOpen = letter.state === "open";
    const name = subjectOf(letter);
    return [
      head(base(name) || "Dead letter", {
        crumb: h("a", { href: "/dead-letters" }, "Dead letters"),
        sub: [h("span", { class: "mono" }, folder(name)), h("br", null), state(letter.state), " ", time(letter.at)],
        actions: isOpen ? [button("Replay", () => this.#replay(), { class: "primary" }), button("Drop…", () => this.#drop(), { class: "danger" })] : null,
      }),
      h(
        "div",
        { class: "stack", key: "rest" },
        errorBox(letter.reason, "Why it could not be processed"),
        this.#editor(isOpen),
        panel(
          "About it",
          {},
          facts([
            ["What", KINDS[letter.kind] ?? letter.kind],
            ["Run", letter.run && h("a", { href: `/runs/${encodeURIComponent(letter.run)}` }, short(letter.run))],
            ["File", name.startsWith("/") && h("a", { href: `/explain?path=${encodeURIComponent(name)}` }, "Why did it run?")],
            ["Id", h("code", null, letter.id)],
          ]),
        ),
      ),
    ];
  }

  #editor(isOpen) {
    const isEdited = this.#text !== null && this.#text !== this.#original();
    return panel(
      "Its event",
      { aside: isEdited ? [state("held", "edited"), button("Undo the edit", () => this.#edit(null), { class: "small" })] : h("span", { class: "note" }, isOpen ? "Edit it to replay it differently." : "") },
      h(
        "div",
        { class: "pad" },
        h("label", { for: "event" }, "CloudEvent in JSON"),
        h("textarea", {
          id: "event",
          spellcheck: "false",
          readonly: !isOpen,
          value: this.#text ?? this.#original(),
          "aria-invalid": this.#problem ? "true" : undefined,
          "aria-describedby": "event-problem",
          oninput: (event) => this.#edit(event.target.value),
        }),
        h("p", { class: "problem", id: "event-problem", role: "alert", hidden: !this.#problem }, this.#problem),
      ),
    );
  }

  #edit(text) {
    this.#text = text;
    this.#problem = "";
    this.redraw();
  }

  async #replay() {
    let edited;
    if (this.#text !== null && this.#text !== this.#original()) {
      try {
        edited = JSON.parse(this.#text);
      } catch (error) {
        this.#problem = `This is no JSON: ${error.message}`;
        this.redraw();
        return;
      }
    }
    try {
      const { run, events } = await api.replay(this.#id, edited);
      notice(run ? "It runs again." : `${count(events.length)} event taken in.`, run ? { link: { href: `/runs/${encodeURIComponent(run)}`, word: "Show the run" } } : {});
      this.#text = null;
      this.reload();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#problem = error.message;
      this.redraw();
    }
  }

  async #drop() {
    const body = h("p", null, "It is not processed. It stays on the list of dropped ones with its reason and its event; to have it processed after all, run its file again.");
    if (!(await confirm({ title: "Drop this dead letter?", body, verb: "Drop", danger: true }))) return;
    await api.drop(this.#id);
    this.go("/dead-letters");
    notice("It is dropped.", { link: { href: `/dead-letters/${encodeURIComponent(this.#id)}`, word: "Show it" } });
  }
}
