// The queue: calls in flight, and the jobs that batch systems carry out.

import { api } from "../api.js";
import { h } from "../dom.js";
import { empty, firstLine, head, panel, state, table, time } from "../parts.js";
import { bare, count, short, span, visible } from "../wording.js";

const PAGE = 200;
const RUNS = 1000;

export class Jobs {
  title = "Jobs";
  #jobs = [];
  #files = new Map();

  async load() {
    const [jobs, page] = await Promise.all([api.jobs({ limit: PAGE }), api.runs({ limit: RUNS })]);
    this.#jobs = jobs;
    this.#files = new Map(page.runs.map((run) => [run.id, run.path]));
  }

  hear(message) {
    // A job begins with its run or behind a step; its end is told as a job's.
    if (["job", "run", "step", "status"].includes(message.kind)) this.reload();
  }

  draw() {
    const engine = this.shared.status?.engine;
    const isOpen = (job) => ["queued", "running", "held"].includes(job.state);
    const numbers = [
      ["Queued", this.#jobs.filter((job) => job.state === "queued" || job.state === "held").length],
      ["Running", this.#jobs.filter((job) => job.state === "running").length],
      ["Calls and jobs in flight", engine?.in_flight],
      ["Runs waiting for a place", engine?.runs.waiting],
    ];
    const columns = [
      { title: "Job", fill: true, cell: (job) => jobLink(job, this.#files.get(job.run) ?? "") },
      { title: "State", cell: (job) => state(job.state) },
      { title: "Function", whole: true, cell: (job) => h("span", { title: job.function }, bare(job.function)) },
      { title: "Run", cell: (job) => h("code", null, short(job.run)) },
      { title: "Began", num: true, cell: (job) => time(job.started) },
      { title: "Took", num: true, cell: (job) => span(job.started, job.ended) },
    ];
    const rows = this.#jobs.map((job) => ({ ...job, key: `${job.run}/${job.step}/${job.item}/${job.attempt}` }));
    const [open, ended] = [rows.filter(isOpen), rows.filter((job) => !isOpen(job))];
    return [
      head("Jobs", { sub: "Heavy steps that batch systems carry out." }),
      h("dl", { class: "figures" }, numbers.map(([what, value]) => h("div", { key: what }, h("dt", null, what), h("dd", null, count(value))))),
      h(
        "div",
        { class: "stack" },
        panel("Queue", {}, open.length ? table("Jobs under way", columns, open) : empty("The queue is empty.")),
        panel("Ended", {}, ended.length ? table("Jobs that ended, newest first", columns, ended) : empty("No job has ended yet.")),
      ),
    ];
  }
}

function jobLink(job, file) {
  const which = job.item >= 0 ? `, item ${job.item}` : "";
  const tries = job.attempt > 1 ? `, try ${job.attempt}` : "";
  return [
    h("a", { class: "file", "data-row": true, href: `/runs/${encodeURIComponent(job.run)}?step=${encodeURIComponent(job.step)}` }, `${job.step}${which}${tries}`),
    file ? h("span", { class: "under" }, visible(file)) : null,
    job.error ? h("span", { class: "reason" }, visible(firstLine(job.error))) : null,
  ];
}
