// Functions, the workflows they work in, and the triggers that start them.

import { api } from "../api.js";
import { confirm, notice } from "../dialog.js";
import { h } from "../dom.js";
import { button, empty, facts, field, head, panel, state, table, time } from "../parts.js";
import { bare, base, count, duration, millis, plural, size, visible } from "../wording.js";

const RUNS = 200;
const STRIP = 24;

export class Functions {
  title = "Functions";
  #functions = [];
  #workflows = [];
  #triggers = [];
  #runs = new Map();
  #versions = new Map();
  #open = new Set();

  async load() {
    [this.#functions, this.#workflows, this.#triggers] = await Promise.all([api.functions(), api.workflows(), api.triggers()]);
    const pages = await Promise.all(this.#workflows.map((each) => api.runs({ workflow: each.name, limit: RUNS })));
    this.#runs = new Map(this.#workflows.map((each, place) => [each.name, pages[place].runs]));
    for (const name of this.#open) await this.#ask(name);
  }

  hear(message) {
    if (message.kind === "run" || message.kind === "status") this.reload();
  }

  draw() {
    const sub = [plural(this.#functions.length, "function"), plural(this.#workflows.length, "workflow"), plural(this.#triggers.length, "trigger")].join(", ");
    if (!this.#functions.length) {
      return [head("Functions"), empty("Nothing is deployed.", ["Begin with ", h("code", null, "penstock init"), " and ", h("code", null, "penstock deploy functions.py"), "."])];
    }
    return [
      head("Functions", { sub }),
      h("div", { class: "stack" }, this.#workflows.map((each) => this.#workflow(each)), this.#list()),
    ];
  }

  // -- workflows and their triggers -----------------------------------------------------------

  #workflow(workflow) {
    const runs = this.#runs.get(workflow.name) ?? [];
    const triggers = this.#triggers.filter((each) => each.workflow.split("@")[0] === workflow.name);
    return panel(
      workflow.name,
      { key: workflow.name, aside: [workflow.undeployed ? h("span", { class: "tag" }, "undeployed") : null, h("span", { class: "tag" }, `version ${workflow.version}`), h("a", { href: `/runs?workflow=${encodeURIComponent(workflow.name)}` }, "Runs")] },
      workflow.summary && h("p", { class: "pad note" }, workflow.summary),
      numbers(runs),
      triggers.length ? h("div", null, triggers.map((each) => this.#trigger(each, workflow))) : h("p", { class: "pad note" }, workflow.undeployed ? "Undeployed: its triggers were removed. It can still be started by hand." : "No trigger starts it; it is started by hand."),
      this.#plan(workflow),
    );
  }

  #trigger(trigger, workflow) {
    const pinned = trigger.workflow.split("@")[1];
    const toggle = trigger.paused
      ? button("Resume", () => this.#resume(trigger), { class: "small primary", "aria-label": `Resume trigger ${trigger.name}` })
      : button("Pause", () => this.#pause(trigger), { class: "small", "aria-label": `Pause trigger ${trigger.name}` });
    const rollback = workflow.version > 1 ? button("Change version…", () => this.#rollback(trigger, workflow), { class: "small", "aria-label": `Change the version that trigger ${trigger.name} starts` }) : null;
    return h(
      "div",
      { key: trigger.id, class: "row trigger" },
      h("div", null, h("h3", { class: "file", tabindex: "-1" }, `Trigger ${bare(trigger.name)}`), h("p", { class: "under" }, `starts version ${pinned}, for ${trigger.principal}`)),
      h("ul", { class: "clauses" }, clauses(trigger.filter).map((words) => h("li", { key: words }, words))),
      h("div", { class: "actions" }, state(trigger.paused ? "paused" : "active"), toggle, rollback),
    );
  }

  #plan(workflow) {
    const columns = [
      { title: "Step", cell: (step) => h("strong", null, step.name) },
      { title: "Function", fill: true, cell: (step) => h("code", null, step.function) },
      { title: "After", cell: (step) => step.after.join(", ") || h("span", { class: "note" }, "the event") },
      { title: "How", cell: (step) => [step.each && h("span", { class: "tag" }, `map over ${step.each}`), " ", step.batch && h("span", { class: "tag" }, `batch ${step.batch}`), " ", step.when && h("code", null, step.when)] },
    ];
    const rows = workflow.steps.map((each) => ({ ...each, key: each.name }));
    return h("details", null, h("summary", { class: "more note" }, plural(rows.length, "step")), table(`Steps of ${workflow.name}`, columns, rows));
  }

  async #pause(trigger) {
    const body = h("p", null, "What comes meanwhile is remembered, and can be run when it is resumed. Runs under way go on.");
    if (!(await confirm({ title: `Pause trigger ${trigger.name}?`, body, verb: "Pause" }))) return;
    await api.change(trigger.id, { paused: true });
    notice(`Trigger ${trigger.name} is paused.`);
    this.reload();
  }

  async #resume(trigger) {
    const box = h("input", { type: "checkbox", id: "catch-up", checked: true });
    const body = h("p", null, h("label", { for: "catch-up" }, box, " Also run what came while it was paused"));
    const values = (dialog) => ({ catch_up: dialog.querySelector("#catch-up").checked });
    const chosen = await confirm({ title: `Resume trigger ${trigger.name}?`, body, verb: "Resume", values });
    if (!chosen) return;
    await api.change(trigger.id, { paused: false, ...chosen });
    notice(`Trigger ${trigger.name} is active again.`);
    this.reload();
  }

  async #rollback(trigger, workflow) {
    const plans = await api.plans(workflow.name);
    const options = plans.map((each) => h("option", { value: each.reference, key: each.reference }, `version ${each.version}${each.deployed ? `, deployed ${new Date(each.deployed).toLocaleString()}` : ""}`));
    const body = [h("p", null, "New events start this version from now on, by the filter that was deployed with it. Runs under way keep theirs."), field("Version", h("select", { id: "version", value: trigger.workflow }, options))];
    const values = (dialog) => dialog.querySelector("#version").value;
    const chosen = await confirm({ title: `Which version is trigger ${trigger.name} to start?`, body, verb: "Start this version", values });
    if (!chosen || chosen === trigger.workflow) return;
    await api.change(trigger.id, { workflow: chosen });
    notice(`Trigger ${trigger.name} starts ${chosen} from now on.`);
    this.reload();
  }

  // -- functions ------------------------------------------------------------------------------

  #list() {
    const columns = [
      { title: "Function", fill: true, cell: (each) => [h("strong", null, each.name), each.summary && h("span", { class: "under block" }, each.summary)] },
      { title: "Version", num: true, cell: (each) => `v${each.version}` },
      { title: "Used by", cell: (each) => this.#users(each) },
      { title: "Limits", whole: true, cell: (each) => `${duration(each.limits.timeout_s)}, ${size(each.limits.memory)}` },
      { title: "Deployed", num: true, cell: (each) => time(each.deployed) },
      { name: "Versions", num: true, cell: (each) => button(this.#open.has(each.name) ? "Less" : "More", () => this.#toggle(each.name), { class: "small", "aria-expanded": String(this.#open.has(each.name)), "aria-label": `Versions of ${each.name}` }) },
    ];
    const rows = this.#functions.map((each) => ({ ...each, key: each.name }));
    return panel("Functions", {}, table("Functions", columns, rows), [...this.#open].map((name) => this.#detail(name)));
  }

  #users(each) {
    const users = this.#workflows.filter((workflow) => workflow.steps.some((step) => step.function.split("@")[0] === each.name));
    return users.map((workflow) => bare(workflow.name)).join(", ") || h("span", { class: "note" }, "none");
  }

  async #toggle(name) {
    if (!this.#open.delete(name)) {
      this.#open.add(name);
      await this.#ask(name);
    }
    this.redraw();
  }

  async #ask(name) {
    this.#versions.set(name, await api.versions(name));
  }

  #detail(name) {
    const versions = [...(this.#versions.get(name) ?? [])].reverse();
    return h(
      "div",
      { key: `versions-${name}`, class: "versions" },
      h("h3", null, name),
      versions.map((each) =>
        facts([
          [`Version ${each.version}`, time(each.deployed)],
          ["Code", each.kind === "python" ? h("code", null, base(each.entry)) : h("code", null, each.command.join(" "))],
          ["Results go to", each.outputs && h("code", null, each.outputs)],
          ["At once", each.concurrency || "64 in workers, jobs without limit"],
          ["Limits", `${duration(each.limits.timeout_s)}, ${size(each.limits.memory)}, ${count(each.limits.processes)} processes, ${each.limits.network ? "with" : "without"} network`],
        ]),
      ),
    );
  }
}

/** Last runs of a workflow in numbers, and each of the newest as a mark. */
function numbers(runs) {
  const ended = runs.filter((run) => run.ended);
  const good = ended.filter((run) => run.phase === "succeeded");
  const times = good.map((run) => (millis(run.ended) - millis(run.started)) / 1000).sort((one, other) => one - other);
  const at = (share) => times[Math.min(Math.floor(times.length * share), times.length - 1)];
  const cells = [
    ["Last runs", ended.length ? strip(ended) : "none yet"],
    ["Succeeded", ended.length ? `${Math.floor((100 * good.length) / ended.length)} % of ${count(ended.length)}` : "–"],
    ["p50 duration", times.length ? duration(at(0.5)) : "–"],
    ["p95 duration", times.length ? duration(at(0.95)) : "–"],
  ];
  return h("dl", { class: "cells" }, cells.map(([name, value]) => h("div", { key: name }, h("dt", null, name), h("dd", null, value))));
}

function strip(ended) {
  const newest = ended.slice(0, STRIP).reverse();
  const failed = newest.filter((run) => run.phase === "failed").length;
  const marks = newest.map((run, place) => h("rect", { key: run.id, class: run.phase === "succeeded" ? "good" : run.phase === "failed" ? "bad" : "stop", x: place * 6, y: run.phase === "succeeded" ? 6 : 0, width: 4, height: run.phase === "succeeded" ? 10 : 16, rx: 1 }));
  return h("svg", { class: "strip", width: STRIP * 6, height: 16, role: "img", "aria-label": `${newest.length} runs, ${failed} failed` }, marks);
}

const WORDS = { exact: "is", prefix: "begins with", suffix: "ends with", glob: "is like", path: "is like" };

/** Several filters of which one is enough; what they have in common at the beginning is said once. */
function either(filters) {
  const parts = filters.map((each) => clauses(each).join(" and "));
  const beginning = /^\S+ is /.exec(parts[0])?.[0];
  if (!beginning || !parts.every((each) => each.startsWith(beginning))) return parts.join(" or ");
  return beginning + parts.map((each) => each.slice(beginning.length)).join(" or ");
}

/** A filter in words, a line for each clause. */
export function clauses(filter) {
  const found = [];
  for (const [dialect, value] of Object.entries(filter ?? {})) {
    if (dialect === "all" && Array.isArray(value)) found.push(...value.flatMap(clauses));
    else if (dialect === "any" && Array.isArray(value)) found.push(either(value));
    else if (dialect === "not") found.push(`not ${clauses(value).join(" and ")}`);
    else if (dialect === "sql" || dialect === "cesql") found.push(visible(String(value)));
    else if (WORDS[dialect] && value && typeof value === "object") for (const [name, text] of Object.entries(value)) found.push(`${name} ${WORDS[dialect]} ${visible(typeof text === "string" ? text : JSON.stringify(text))}`);
    else found.push(visible(`${dialect} ${JSON.stringify(value)}`));
  }
  return found.length ? found : ["every event"];
}
