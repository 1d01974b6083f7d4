// What is going on now: figures, recent runs, live events, storages and troubles.

import { api, Problem } from "../api.js";
import { h } from "../dom.js";
import { button, empty, field, firstLine, head, panel, RUN_COLUMNS, state, table, time } from "../parts.js";
import { latencies, throughput } from "../spark.js";
import { say } from "../dialog.js";
import { bare, base, count, duration, folder, kind, millis, path, plural, visible } from "../wording.js";

const RUNS = 120;
const RUNS_SHOWN = 14;
const RUNNING = 500;
const EVENTS = 60;
const OUTSIDE = JSON.stringify({ not: { exact: { source: "/penstock" } } });

export class Overview {
  title = "Overview";
  #runs = [];
  #running = [];
  #events = [];
  #fresh = new Set();
  #known = null;
  #filter = "";
  #typed = "";
  #problem = "";
  #isPaused = false;
  #missed = 0;
  #stale = new Set(["runs", "events"]);

  async load() {
    const stale = this.#stale;
    this.#stale = new Set();
    const asks = [];
    if (stale.has("runs")) asks.push(this.#askRuns());
    if (stale.has("events")) asks.push(this.#askEvents());
    try {
      await Promise.all(asks);
    } catch (error) {
      this.#stale = new Set(["runs", "events"]);
      throw error;
    }
  }

  async #askRuns() {
    const [recent, running] = await Promise.all([api.runs({ limit: RUNS }), api.runs({ state: "running", limit: RUNNING })]);
    this.#runs = recent.runs;
    this.#running = running.runs;
    this.#fresh = new Set(this.#known ? this.#runs.map((run) => run.id).filter((id) => !this.#known.has(id)) : []);
    this.#known = new Set(this.#runs.map((run) => run.id));
  }

  async #askEvents() {
    try {
      const page = await api.events({ filter: this.#filter || OUTSIDE, limit: EVENTS });
      this.#events = page.events;
      this.#problem = "";
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 422) throw error;
      this.#problem = error.message;
    }
  }

  hear(message) {
    if (message.kind === "status" || message.kind === "run" || message.kind === "deadletter") this.#stale.add("runs");
    if (this.#isPaused && message.kind === "event") this.#missed++;
    else if (!this.#isPaused && message.kind !== "run" && message.kind !== "deadletter") this.#stale.add("events");
    if (this.#stale.size) this.reload();
    else this.redraw();
  }

  pause() {
    this.#isPaused = !this.#isPaused;
    say(this.#isPaused ? "Live events are paused." : "Live events go on.");
    if (this.#isPaused) return this.redraw();
    this.#missed = 0;
    this.#stale.add("events");
    this.reload();
  }

  draw() {
    const status = this.shared.status;
    return [
      head("Overview", { sub: this.#sentence(status) }),
      troubles(status),
      this.#figures(status),
      h(
        "div",
        { class: "grid" },
        h("div", { class: "stack w7" }, this.#now(), this.#recent()),
        h("div", { class: "stack w5" }, this.#live(), storages(status)),
      ),
    ];
  }

  #sentence(status) {
    const engine = status?.engine;
    if (!engine) return status ? "The engine is away; what it has done so far is shown." : null;
    const folders = engine.storages.map((each) => each.name).join(", ");
    const watched = engine.storages.length ? `Watching ${folders}` : "No storage is watched yet";
    return `${watched} for ${plural(engine.triggers, "trigger")}.`;
  }

  #figures(status) {
    const runs = status?.engine?.runs;
    const dead = status?.dead_letters?.open ?? 0;
    const ended = this.#runs.filter((run) => run.ended);
    const times = ended.filter((run) => run.phase === "succeeded").map((run) => (millis(run.ended) - millis(run.started)) / 1000);
    return h(
      "div",
      { class: "figures", role: "group", "aria-label": "Figures" },
      figure("Runs under way", count(runs?.active), { href: "/runs?state=running", colour: runs?.active && "busy" }),
      figure("Runs waiting", count(runs?.waiting)),
      figure("Calls in flight", count(status?.engine?.in_flight), { href: "/jobs" }),
      figure("Open dead letters", count(dead), { href: "/dead-letters", colour: dead && "bad" }),
      h(
        "div",
        { class: "wide" },
        h("p", { class: "what" }, rate(ended)),
        throughput(ended),
      ),
      h("div", { class: "wide" }, h("p", { class: "what" }, times.length ? `Time of a run: half took under ${duration(middle(times))}` : "Time of a run"), latencies(ended)),
    );
  }

  #recent() {
    const rows = this.#runs.slice(0, RUNS_SHOWN).map((run) => ({ ...run, fresh: this.#fresh.has(run.id) }));
    const content = rows.length
      ? table("Recent runs", RUN_COLUMNS, rows)
      : empty("No run yet.", ["Deploy a function with ", h("code", null, "penstock deploy functions.py"), ", then put a file into a watched folder."]);
    return panel("Recent runs", { aside: h("a", { href: "/runs" }, "All runs") }, content);
  }

  #now() {
    const groups = new Map();
    for (const run of this.#running) groups.set(run.workflow, [...(groups.get(run.workflow) ?? []), run]);
    const rows = [...groups].map(([workflow, runs]) => ({ key: workflow, workflow, runs }));
    const columns = [
      { title: "Workflow", fill: true, cell: (row) => h("a", { class: "file", "data-row": true, href: `/runs?state=running&workflow=${encodeURIComponent(row.workflow)}` }, bare(row.workflow), h("span", { class: "under" }, `@${row.workflow.split("@")[1]}`)) },
      { title: "Runs", num: true, cell: (row) => count(row.runs.length) + (this.#running.length === RUNNING ? "+" : "") },
      { title: "Oldest began", num: true, cell: (row) => time(row.runs.at(-1).started) },
    ];
    return panel("Working now", {}, rows.length ? table("Workflows at work", columns, rows) : h("p", { class: "pad note" }, "Nothing is running. Penstock waits to be told of files."));
  }

  #live() {
    const shown = this.#isPaused ? [state("paused"), this.#missed ? h("span", { class: "note" }, `${count(this.#missed)} more meanwhile`) : null] : null;
    const toggle = button(this.#isPaused ? "Go on" : "Pause", () => this.pause(), { class: "small", "aria-pressed": String(this.#isPaused) });
    const input = h("input", {
      id: "filter",
      type: "search",
      class: "mono",
      "data-search": true,
      spellcheck: "false",
      autocomplete: "off",
      placeholder: "subject LIKE '%.h5'",
      value: this.#typed,
      "aria-invalid": this.#problem ? "true" : undefined,
      "aria-describedby": "filter-problem",
      oninput: (event) => this.#type(event.target.value),
    });
    return panel(
      "Live events",
      { aside: [shown, toggle] },
      h(
        "form",
        { class: "filters", role: "search", onsubmit: (event) => this.#apply(event) },
        field("Filter: CESQL, or JSON as in a trigger", input, { class: "grow" }),
        h("button", { type: "submit" }, "Filter"),
        h("p", { class: "problem fill", id: "filter-problem", role: "alert", hidden: !this.#problem }, this.#problem),
      ),
      this.#events.length
        ? h("ul", { class: "feed", "aria-label": "Events, newest first" }, this.#events.map(eventRow))
        : empty(this.#filter ? "No event passes this filter yet." : "No event yet."),
    );
  }

  #type(text) {
    this.#typed = text;
    if (text.trim() === "" && this.#filter) this.#apply();
  }

  #apply(event) {
    event?.preventDefault();
    this.#filter = this.#typed.trim();
    this.#stale.add("events");
    this.reload();
  }
}

function figure(what, value, { href, colour } = {}) {
  const content = [h("span", { class: "what" }, what), h("div", { class: colour ? `value ${colour}` : "value" }, value)];
  return href ? h("a", { href, key: what }, content) : h("div", { key: what }, content);
}

function middle(values) {
  return [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)];
}

function rate(ended) {
  if (!ended.length) return "Runs ended";
  const failed = ended.filter((run) => run.phase === "failed").length;
  const spanned = (millis(ended[0].ended) - millis(ended.at(-1).started)) / 1000;
  return `Last ${plural(ended.length, "run")} in ${duration(Math.max(spanned, 0.001))}${failed ? `, ${count(failed)} failed` : ""}`;
}

function eventRow(entry) {
  const { event, offset, appended } = entry;
  const name = event.data?.path ? visible(event.data.path) : path(event.subject ?? event.id);
  return h(
    "li",
    { key: offset, class: "row" },
    time(appended),
    h(
      "div",
      null,
      h("a", { class: "file", "data-row": true, href: `/explain?event=${offset}`, title: name }, base(name)),
      h("span", { class: "kind" }, visible(kind(event.type))),
      name.includes("/") && h("span", { class: "under" }, " ", folder(name)),
    ),
  );
}

function storages(status) {
  const engine = status?.engine;
  if (!engine) return null;
  const outside = new Set(status.trees.map((each) => each.storage));
  for (const each of engine.storages) outside.delete(each.name);
  const all = [...engine.storages, ...[...outside].map((name) => ({ name, folder: top(status, name).folder }))];
  if (!all.length) return null;
  const columns = [
    { title: "Storage", fill: true, cell: (row) => h("div", null, row.name, h("div", { class: "under" }, visible(row.folder))) },
    { title: "Complete up to", cell: (row) => (row.tree?.proven ? time(row.tree.proven) : "never compared") },
    { title: "State", cell: (row) => storageState(row) },
  ];
  const rows = all.map((each) => ({
    ...each,
    key: each.name,
    trouble: engine.troubles[each.name] || engine.troubles[`reconcile ${each.name}`],
    tree: top(status, each.name),
    lost: status.trees.some((tree) => tree.storage === each.name && tree.state === "open"),
  }));
  return panel("Storages", {}, table("Storages", columns, rows));
}

// The tree of a storage that contains its others.
function top(status, name) {
  const trees = status.trees.filter((each) => each.storage === name);
  return trees.sort((one, other) => one.folder.length - other.folder.length)[0];
}

function storageState(row) {
  if (row.trouble) return state("failed", "in trouble");
  return row.lost ? state("waiting", "being compared") : state("active", "watched");
}

function troubles(status) {
  if (!status) return null;
  if (!status.engine) return h("div", { class: "banner bad", key: "troubles", role: "alert" }, h("span", { "aria-hidden": "true" }, "✗"), h("p", null, "The engine does not answer. Nothing is lost: files that come meanwhile are found when it is back."));
  const told = Object.entries(status.engine.troubles);
  if (!told.length) return null;
  return h(
    "div",
    { class: "banner bad", key: "troubles", role: "alert" },
    h("span", { "aria-hidden": "true" }, "✗"),
    h("ul", null, told.map(([where, words]) => h("li", { key: where }, h("strong", null, visible(where)), ": ", visible(firstLine(String(words)))))),
  );
}
