// All runs, searched by file, state and workflow.

import { api } from "../api.js";
import { h } from "../dom.js";
import { button, empty, field, head, RUN_COLUMNS, table } from "../parts.js";
import { count, visible } from "../wording.js";

const PAGE = 100;
const SEARCHED = 1000;
/* A whole path is found however old its runs are; a part of one among so many newest runs. */
const PHASES = ["running", "waiting", "succeeded", "failed", "cancelled"];

export class Runs {
  title = "Runs";
  #wanted = { path: "", state: "", workflow: "" };
  #runs = [];
  #next = null;
  #workflows = [];
  #shown = PAGE;

  async load(_names, query) {
    this.#want(query);
    const { path, ...rest } = this.#wanted;
    const isPart = path && !path.startsWith("/");
    const limit = isPart ? SEARCHED : Math.min(this.#shown, SEARCHED);
    const ask = { ...rest, path: isPart ? "" : path, limit };
    const [page, workflows] = await Promise.all([api.runs(ask), this.#workflows.length ? this.#workflows : api.workflows()]);
    this.#runs = isPart ? page.runs.filter((run) => run.path.toLowerCase().includes(path.toLowerCase())) : page.runs;
    this.#next = isPart ? null : page.next;
    this.#workflows = workflows;
  }

  hear(message) {
    if (message.kind === "run" || message.kind === "status") this.reload();
  }

  steer(query) {
    this.#want(query);
    this.#shown = PAGE;
    this.redraw();
    this.reload();
  }

  #want(query) {
    for (const name of Object.keys(this.#wanted)) this.#wanted[name] = query.get(name) ?? "";
  }

  draw() {
    const rows = this.#runs.map((run) => ({ ...run, key: run.id }));
    const filtered = Object.values(this.#wanted).some(Boolean);
    return [
      head("Runs", { sub: `${count(rows.length)}${this.#next ? " newest" : ""} ${filtered ? "that fit" : "in the history"}` }),
      h(
        "section",
        { class: "panel", "aria-label": "Runs" },
        this.#form(filtered),
        rows.length ? table("Runs, newest first", RUN_COLUMNS, rows) : empty(filtered ? "No run fits." : "No run yet."),
        this.#next && this.#shown < SEARCHED ? h("div", { class: "more" }, button("Show more", () => this.#more())) : null,
      ),
    ];
  }

  #form(filtered) {
    const { path, state, workflow } = this.#wanted;
    const names = this.#workflows.map((each) => each.name);
    if (workflow && !names.includes(workflow)) names.push(workflow);
    return h(
      "form",
      { class: "filters", role: "search", onsubmit: (event) => this.#search(event) },
      field("File: a whole path, or a part of one", h("input", { id: "path", name: "path", type: "search", "data-search": true, value: path, autocomplete: "off", spellcheck: "false" }), { class: "grow" }),
      field("State", choice("state", state, PHASES, (event) => this.#search(event))),
      field("Workflow", choice("workflow", workflow, names, (event) => this.#search(event))),
      h("button", { type: "submit" }, "Search"),
      filtered ? h("a", { href: "/runs" }, "All runs") : null,
    );
  }

  #search(event) {
    event.preventDefault();
    const form = event.target.closest("form");
    const given = [...new FormData(form)].filter(([, value]) => value !== "");
    this.go(`/runs${given.length ? `?${new URLSearchParams(given)}` : ""}`);
  }

  #more() {
    this.#shown += PAGE;
    this.reload();
  }
}

function choice(name, value, options, onchange) {
  return h("select", { id: name, name, value, onchange }, h("option", { value: "" }, "any"), options.map((each) => h("option", { value: each, key: each }, visible(each))));
}
