// Why did (or did not) my file run?

import { api, Problem } from "../api.js";
import { h } from "../dom.js";
import { empty, facts, field, head, lines, panel, state, time } from "../parts.js";
import { kind, plural, span, visible } from "../wording.js";

/** Triggers that missed the event that are shown at once; the others are counted by reason. */
const NEAREST = 3;

export class Explain {
  title = "Explain";
  #asked = { path: "", event: "", run: "" };
  #found = null;
  #problem = "";

  async load(_names, query) {
    for (const name of Object.keys(this.#asked)) this.#asked[name] = query.get(name) ?? "";
    this.#found = null;
    this.#problem = "";
    if (!Object.values(this.#asked).some(Boolean)) return;
    try {
      this.#found = await api.explain(this.#asked);
    } catch (error) {
      if (!(error instanceof Problem) || error.status >= 500 || !error.status) throw error;
      this.#problem = error.message;
    }
  }

  steer() {
    this.reload();
  }

  hear(message) {
    const isOurs = message.kind === "run" && this.#found?.triggers.some((each) => each.run?.id === message.id);
    const isAboutIt = message.kind === "event" && message.path && message.path === this.#asked.path;
    if (isOurs || isAboutIt || (message.kind === "run" && this.#found && message.subject === this.#found.event?.event.subject)) this.reload();
  }

  draw() {
    return [
      head("Why did my file run, or why not?", { sub: "Give its path. What each trigger said to it is told from the log, and recomputed from the event." }),
      h("section", { class: "panel", "aria-label": "Question", key: "ask" }, this.#form()),
      h("div", { class: "stack below", key: "answer", "aria-live": "polite" }, this.#found ? this.#answer() : null),
    ];
  }

  #form() {
    const path = this.#asked.path || this.#found?.file?.path || "";
    const input = h("input", { id: "path", name: "path", class: "mono", "data-search": true, autocomplete: "off", spellcheck: "false", placeholder: "/data/raw/scan_0042.h5", value: path, "aria-describedby": "path-problem", "aria-invalid": this.#problem ? "true" : undefined });
    return h(
      "form",
      { class: "filters", role: "search", onsubmit: (event) => this.#ask(event) },
      field("Absolute path of the file", input, { class: "grow" }),
      h("button", { type: "submit", class: "primary" }, "Explain"),
      h("p", { class: "problem fill", id: "path-problem", role: "alert", hidden: !this.#problem }, this.#problem),
    );
  }

  #ask(event) {
    event.preventDefault();
    const path = new FormData(event.target).get("path").trim();
    if (path) this.go(`/explain?path=${encodeURIComponent(path)}`);
  }

  #answer() {
    const { told, file, event: entry, earlier, triggers, misses } = this.#found;
    const missed = triggers.filter((each) => each.miss && !each.outcome);
    const far = missed.length > NEAREST + 1 ? missed.slice(NEAREST) : [];
    const near = triggers.filter((each) => !far.includes(each));
    const total = misses.reduce((sum, each) => sum + each.count, 0) - missed.length + triggers.length;
    return [
      panel("In short", { key: "short" }, h("div", { class: "pad told" }, told.map((words) => h("p", { key: words }, lines(words))))),
      panel(
        "Triggers",
        { key: "triggers", aside: h("span", { class: "note" }, plural(total, "trigger")) },
        triggers.length ? h("ul", { class: "verdicts" }, near.map(verdict)) : empty("There are no triggers."),
        far.length ? missing(far, misses, total - near.length) : null,
      ),
      entry ? eventPanel(entry, earlier) : null,
      file ? filePanel(file) : null,
    ];
  }
}

/** Triggers that missed by more than others: counted by reason, and in full for who asks. */
function missing(far, misses, count) {
  const known = new Set(far.map((each) => each.trigger));
  const near = (group) => group.triggers.filter((name) => !known.has(name)).length;
  const words = misses.map((each) => [each.why, each.count - (each.count > each.triggers.length ? 0 : near(each))]).filter(([, number]) => number > 0);
  return h(
    "details",
    { key: "missing" },
    h("summary", { class: "more note" }, `${plural(count, "more trigger")} not matching: ${words.map(([why, number]) => `${number} ${why}`).join(", ")}`),
    h("ul", { class: "verdicts" }, far.map(verdict)),
  );
}

function verdict(account) {
  const isYes = account.outcome ? account.outcome === "matched" : account.wanted;
  return h(
    "li",
    { key: account.trigger },
    h("span", { class: `mark-box ${isYes ? "good" : "bad"}`, role: "img", "aria-label": isYes ? "yes" : "no" }, isYes ? "✓" : "✗"),
    h(
      "div",
      null,
      h("h3", null, account.trigger, " ", account.outcome ? state(account.outcome) : null),
      account.sentences.map((words) => h("p", { key: words, class: "note" }, sentence(words))),
      h("ul", { class: "checks", "aria-label": `Filter of ${account.trigger}` }, account.tree.map(check)),
      account.run ? h("p", { class: "ran" }, runLine(account.run)) : null,
    ),
  );
}

function runLine(run) {
  return [state(run.phase), " ", h("a", { href: `/runs/${encodeURIComponent(run.id)}` }, `Run of ${run.workflow}`), run.ended ? ` took ${span(run.started, run.ended)}` : ""];
}

/** A line of the filter's tree: the mark in front of it says whether it holds. */
function check(line, place) {
  const found = /^(\s*)([✓✗·-]?)\s*(.*)$/u.exec(line);
  const holds = { "✓": ["✓", "good", "holds"], "✗": ["✗", "bad", "fails"] }[found[2]] ?? ["·", "idle", ""];
  const depth = Math.min(Math.floor(found[1].length / 2), 6);
  return h("li", { key: `${place}${line}`, class: `deep-${depth}` }, h("span", { class: holds[1], role: holds[2] ? "img" : undefined, "aria-label": holds[2] || undefined }, holds[0]), h("span", null, visible(found[3])));
}

function sentence(words) {
  const text = lines(words);
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

function eventPanel(entry, earlier) {
  const { event, offset, appended } = entry;
  const others = earlier.map((each, place) => [place ? ", " : "", h("a", { key: each, href: `/explain?event=${each}` }, `at ${each}`)]);
  return panel(
    "The event",
    { key: "event" },
    facts([
      ["What", h("code", null, visible(kind(event.type)))],
      ["Taken in", [time(appended), ` at offset ${offset}`]],
      ["The storage’s time", event.time && time(event.time)],
      ["Id", h("code", null, visible(event.id))],
      ["Caused by", event.cause && h("a", { href: `/runs/${encodeURIComponent(event.cause)}` }, "the work of a run")],
      ["Other events about it", others.length ? others : null],
    ]),
    h("details", null, h("summary", { class: "more note" }, "The event in JSON"), h("pre", { class: "log", tabindex: "0", role: "group", "aria-label": "The event in JSON" }, JSON.stringify(event, null, 2))),
  );
}

function filePanel(file) {
  const yes = (whether, words, not) => [h("span", { class: whether ? "yes" : "no" }, whether ? "✓ " : "✗ "), whether ? words : not];
  return panel(
    "The file",
    { key: "file" },
    facts([
      ["Path", h("code", null, visible(file.path))],
      ["Storage", file.storage || yes(false, "", "in no storage that is watched")],
      ["On disk", yes(file.exists, "it exists", "it does not exist")],
      ["Ignored", file.ignored ? "yes: its name, or a folder above it, is on the list" : "no"],
      ["Known", yes(file.known, `content number ${file.generation}`, file.generation ? `gone after content number ${file.generation}` : "not seen yet")],
      ["Published by", file.published_by && h("a", { href: `/runs/${encodeURIComponent(file.published_by)}` }, "a run of Penstock")],
    ]),
  );
}

