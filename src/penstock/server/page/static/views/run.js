// One run: its steps as a graph, over time and in detail; what came out; where it came from.

import { api } from "../api.js";
import { confirm, notice } from "../dialog.js";
import { h } from "../dom.js";
import { graph } from "../graph.js";
import { LogTail } from "../log.js";
import { OutputPreviews } from "../outputs.js";
import { button, empty, errorBox, facts, head, panel, runLink, state, table, time } from "../parts.js";
import { timeline } from "../timeline.js";
import { bare, base, count, folder, kind, path, plural, short, size, span, visible } from "../wording.js";

const OVER = new Set(["succeeded", "failed", "skipped", "cancelled"]);
const RESULT_CHARS_MAX = 20000;

export class Run {
  title = "Run";
  #id = "";
  #shown = null;
  #chosen = "";
  #attempt = null;
  #log = new LogTail(() => this.redraw());
  #outputs = new OutputPreviews(() => this.redraw());

  async load([id], query) {
    this.#id = id;
    this.#chosen = query.get("step") ?? this.#chosen;
    this.#shown = await api.run(id);
    this.title = base(this.#name());
    document.title = `${this.title} · Penstock`;
    this.#follow();
  }

  leave() {
    this.#log.close();
  }

  steer(query) {
    this.#chosen = query.get("step") ?? "";
    this.#attempt = null;
    this.#follow();
    this.redraw();
  }

  hear(message) {
    const isOurs = message.id === this.#id && message.kind !== "event";
    if (isOurs || message.skipped || (message.kind === "status" && message.what === "engine")) this.reload();
  }

  #name() {
    const { run } = this.#shown;
    return run.path ? visible(run.path) : path(run.subject);
  }

  #step() {
    const { steps } = this.#shown;
    const by = (phase) => steps.find((step) => step.phase === phase);
    return steps.find((step) => step.name === this.#chosen) ?? by("failed") ?? by("retrying") ?? by("running") ?? steps.at(-1);
  }

  /** The attempt whose log is shown: the one that was chosen, else the latest. */
  #tried() {
    const attempts = this.#step()?.attempts ?? [];
    const chosen = this.#attempt && attempts.find((each) => key(each) === this.#attempt);
    return chosen ?? attempts.find((each) => each.phase === "running") ?? attempts.find((each) => each.phase === "failed") ?? attempts.at(-1);
  }

  #follow() {
    const tried = this.#tried();
    if (tried) this.#log.open(this.#id, tried);
    else this.#log.close();
  }

  draw() {
    const { run, outputs, outputs_more: isMore } = this.#shown;
    const name = this.#name();
    const parts = [
      state(run.phase),
      ` ${run.workflow}`,
      run.started && [" · began ", time(run.started)],
      run.ended && ` · took ${span(run.started, run.ended)}`,
    ];
    return [
      head(base(name), {
        crumb: [h("a", { href: "/runs" }, "Runs"), " / ", h("span", { class: "mono", title: run.id }, short(run.id))],
        sub: [h("span", { class: "mono" }, folder(name)), h("br", null), parts],
        actions: this.#actions(),
      }),
      h(
        "div",
        { class: "stack" },
        run.error ? errorBox(run.error, run.phase === "failed" ? "Why it failed" : "") : null,
        this.#drawing(),
        h(
          "div",
          { class: "grid" },
          h("div", { class: "stack w7" }, this.#detail(), outputs.length ? this.#results(outputs, isMore) : null),
          h("div", { class: "stack w5" }, panel("Time", {}, timeline(this.#shown)), this.#provenance(), this.#children()),
        ),
      ),
    ];
  }

  #drawing() {
    const { steps, run } = this.#shown;
    if (!steps.length) return panel("Steps", {}, empty("The run has not begun."));
    const nodes = steps.map((step) => ({
      name: step.name,
      after: step.after,
      state: step.phase,
      batch: step.batch,
      map: mapOf(step),
    }));
    const done = steps.filter((step) => OVER.has(step.phase)).length;
    const address = (name) => `/runs/${encodeURIComponent(run.id)}?step=${encodeURIComponent(name)}`;
    return panel(
      "Steps",
      { aside: h("span", { class: "note" }, `${count(done)} of ${plural(steps.length, "step")} ended`) },
      h("div", { class: "drawing", tabindex: "0", role: "group", "aria-label": "Graph of the steps, to be scrolled" }, graph(nodes, this.#step()?.name, address)),
    );
  }

  // -- one step -------------------------------------------------------------------------------

  #detail() {
    const step = this.#step();
    if (!step) return null;
    const map = step.items;
    const lines = [
      ["Function", step.function && h("code", null, step.function)],
      ["Runs on", step.batch && `batch system “${step.batch}”`],
      ["After", step.after.join(", ")],
      ["Items", map && itemsIn(map)],
      ["Skipped because", step.blocked_by && `step “${step.blocked_by}” failed`],
    ];
    return panel(
      `Step ${step.name}`,
      { aside: state(step.phase) },
      facts(lines),
      step.error && !this.#shown.run.error.includes(step.error) ? errorBox(step.error) : null,
      map && Object.keys(map.errors).length ? itemErrors(map.errors) : null,
      step.attempts.length ? this.#attempts(step) : null,
      step.attempts.length ? this.#printed() : null,
      answer(step),
    );
  }

  #attempts(step) {
    const tried = this.#tried();
    const columns = [
      { title: "Try", cell: (row) => (row.item < 0 ? row.attempt : `item ${row.item}, try ${row.attempt}`) },
      { title: "State", cell: (row) => state(row.phase) },
      { title: "Ran", whole: true, cell: (row) => (row.place === "pool" || !row.place ? "warm worker" : `batch: ${visible(row.place)}`) },
      { title: "Began", num: true, cell: (row) => time(row.started) },
      { title: "Took", num: true, cell: (row) => span(row.started, row.ended) },
      { name: "Log", num: true, cell: (row) => this.#logButton(row, tried) },
    ];
    const rows = step.attempts.map((each) => ({ ...each, key: key(each) }));
    const hidden = step.attempts_total - rows.length;
    return [table("Tries of this step", columns, rows), hidden > 0 ? h("p", { class: "more note" }, `${count(hidden)} more tries are not shown; failed ones come first.`) : null];
  }

  #logButton(row, tried) {
    const isShown = key(row) === key(tried);
    const words = row.item < 0 ? `Log of try ${row.attempt}` : `Log of item ${row.item}, try ${row.attempt}`;
    const choose = () => {
      this.#attempt = key(row);
      this.#follow();
      this.redraw();
    };
    return button(isShown ? "Shown" : "Log", choose, { class: "small", "aria-pressed": String(isShown), "aria-label": words });
  }

  #printed() {
    return h("div", { key: "log" }, h("div", { class: "more note" }, this.#log.words()), this.#log.draw());
  }

  // -- around it ------------------------------------------------------------------------------

  #results(outputs, isMore) {
    const words = isMore ? `the first ${count(outputs.length)}` : plural(outputs.length, "file");
    return panel("Results", { aside: h("span", { class: "note" }, words) }, this.#outputs.draw(outputs));
  }

  #provenance() {
    const { run, event: entry, principal, trigger_name: trigger, generation, cause, steps } = this.#shown;
    const event = entry?.event;
    const data = event?.data ?? {};
    const functions = [...new Set(steps.map((step) => step.function).filter(Boolean))];
    const sum = Object.entries(data.checksum ?? {}).map(([name, value]) => `${name} ${value}`)[0];
    return panel(
      "Provenance",
      {},
      facts([
        ["Event", event && [h("code", null, kind(event.type)), " ", h("a", { href: `/explain?event=${entry.offset}` }, `at ${entry.offset}`)]],
        ["Event’s id", h("code", null, run.event)],
        ["File’s time", event?.time && time(event.time)],
        ["Storage", data.storage],
        ["Size", size(data.size)],
        ["Version", data.version ?? data.generation],
        ["Checksum", sum && h("code", null, sum)],
        ["Trigger", trigger || (run.trigger ? short(run.trigger) : "started by hand")],
        ["Workflow", h("code", null, run.workflow)],
        ["Functions", functions.map((name) => h("div", { key: name }, h("code", null, name)))],
        ["On behalf of", principal],
        ["Repetition", generation > 0 && `${generation}. again`],
        ["Caused by", cause && h("a", { href: `/runs/${encodeURIComponent(cause)}` }, `run ${short(cause)}`)],
        ["Run", h("code", null, run.id)],
      ]),
    );
  }

  #children() {
    const { children } = this.#shown;
    if (!children.length) return null;
    const columns = [
      { title: "File", fill: true, cell: runLink },
      { title: "State", cell: (run) => state(run.phase) },
      { title: "Workflow", cell: (run) => bare(run.workflow) },
    ];
    return panel("Started by its results", {}, table("Runs started by its results", columns, children));
  }

  // -- deeds ----------------------------------------------------------------------------------

  #actions() {
    const { run } = this.#shown;
    if (!OVER.has(run.phase)) return button("Cancel run", () => this.#cancel(), { class: "danger" });
    const step = this.#step();
    return [
      run.phase === "succeeded" ? null : button("Rerun what failed", () => this.#rerun({}), { class: "primary" }),
      step ? button(`Rerun from “${step.name}”`, () => this.#rerun({ from_step: step.name })) : null,
      button("Rerun whole", () => this.#rerun({ whole: true })),
    ];
  }

  async #cancel() {
    const body = h("p", null, "Functions and jobs under way are stopped. Results that are published stay.");
    if (!(await confirm({ title: `Cancel the run of ${base(this.#name())}?`, body, verb: "Cancel run", danger: true }))) return;
    await api.cancel(this.#id);
    notice("The run is being cancelled.");
  }

  async #rerun(how) {
    if (how.whole) {
      const body = h("p", null, "Every step runs again, with the version of the workflow that its trigger has now. Results are replaced.");
      if (!(await confirm({ title: "Run everything again?", body, verb: "Rerun whole" }))) return;
    }
    const { run } = await api.rerun(this.#id, how);
    this.go(`/runs/${encodeURIComponent(run)}`);
    notice("It runs again, as a run of its own.");
  }
}

function key(attempt) {
  return attempt && `${attempt.step}/${attempt.item}/${attempt.attempt}`;
}

function mapOf(step) {
  if (step.items) return { done: step.items.succeeded, failed: step.items.failed, total: step.items.total };
  const isMap = step.attempts.some((each) => each.item >= 0);
  if (!isMap) return null;
  const all = Array.isArray(step.result) ? step.result.length : Math.max(...step.attempts.map((each) => each.item + 1), step.attempts_total);
  return { done: all, failed: 0, total: all };
}

function itemsIn(map) {
  const told = ["succeeded", "running", "retrying", "waiting", "failed"].filter((each) => map[each]).map((each) => `${count(map[each])} ${each}`);
  return `${told.join(", ")} of ${count(map.total)}`;
}

function itemErrors(errors) {
  return h("div", { key: "items" }, Object.entries(errors).map(([place, error]) => h("div", { key: place }, errorBox(error, `Item ${place}`))));
}

function answer(step) {
  if (step.result === null || step.result === undefined) {
    return step.result_bytes > 4 ? h("p", { class: "more note" }, `The answer has ${size(step.result_bytes)} and is not shown.`) : null;
  }
  const text = JSON.stringify(step.result, null, 2);
  const shown = text.length > RESULT_CHARS_MAX ? `${text.slice(0, RESULT_CHARS_MAX)}\n…` : text;
  return h("details", { key: `answer-${step.name}` }, h("summary", { class: "more note" }, "Answer"), h("pre", { class: "log", tabindex: "0", role: "group", "aria-label": "Answer of the step" }, shown));
}
