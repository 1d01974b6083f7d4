// Small pieces that views are made of.

import { h } from "./dom.js";
import { base, bare, folder, look, moment, path, span, visible } from "./wording.js";

/** A state: symbol and word, in its colour. */
export function state(name, word = name) {
  const [symbol, colour] = look(name);
  return h("span", { class: `state ${colour}` }, h("span", { class: "symbol", "aria-hidden": "true" }, symbol), word);
}

/** A time: the local one to read, the exact one for machines and on hovering. */
export function time(when) {
  return when ? h("time", { datetime: when, title: when }, moment(when)) : null;
}

export function panel(title, { aside, ...props } = {}, ...kids) {
  return h("section", { ...props, class: `panel ${props.class ?? ""}`, "aria-label": title }, h("header", null, h("h2", null, title), aside), ...kids);
}

export function head(title, { sub, crumb, actions } = {}) {
  return h(
    "div",
    { class: "head", key: "head" },
    h("div", null, crumb && h("p", { class: "crumb" }, crumb), h("h1", { tabindex: "-1" }, title), sub && h("p", { class: "sub" }, sub)),
    actions && h("div", { class: "actions" }, actions),
  );
}

export function button(word, onclick, props = {}) {
  return h("button", { type: "button", ...props, onclick }, word);
}

export function empty(...lines) {
  return h("div", { class: "empty" }, lines.map((line) => h("p", null, line)));
}

/** A table; on narrow screens each row becomes a card. */
export function table(label, columns, rows) {
  const titles = columns.map((each) => h("th", { scope: "col", class: each.num && "num" }, each.title || h("span", { class: "unseen" }, each.name)));
  return h(
    "table",
    { class: "cards", "aria-label": label },
    h("thead", null, h("tr", null, titles)),
    h("tbody", null, rows.map((row) => line(columns, row))),
  );
}

function line(columns, row) {
  const cells = columns.map((each) => h("td", { class: each.num ? "num" : each.fill ? "fill" : each.whole ? "whole" : undefined }, each.cell(row)));
  return h("tr", { key: row.key ?? row.id, class: row.fresh ? "row fresh" : "row" }, cells);
}

/** A run's file, as the link to the run. */
export function runLink(run) {
  const text = run.path ? visible(run.path) : path(run.subject);
  return [
    h("a", { class: "file", "data-row": true, href: `/runs/${encodeURIComponent(run.id)}`, title: text }, base(text) || text),
    text.includes("/") ? h("span", { class: "under" }, folder(text)) : null,
  ];
}

export const RUN_COLUMNS = [
  { title: "File", fill: true, cell: (run) => [runLink(run), run.error ? h("span", { class: "reason" }, visible(firstLine(run.error))) : null] },
  { title: "State", cell: (run) => state(run.phase) },
  { title: "Workflow", whole: true, cell: (run) => h("span", { title: run.workflow }, bare(run.workflow), h("span", { class: "under" }, `@${run.workflow.split("@")[1] ?? ""}`)) },
  { title: "Began", num: true, cell: (run) => time(run.started) },
  { title: "Took", num: true, cell: (run) => (run.ended ? span(run.started, run.ended) : "") },
];

/** The first line that says something. */
export function firstLine(text) {
  return text.split("\n").find((line) => line.trim()) ?? "";
}

/** An error: its first line in bold, the rest (a traceback) below. */
export function errorBox(text, title) {
  const [first, ...rest] = text.split("\n");
  return h(
    "div",
    { class: "error" },
    title && h("p", { class: "note" }, title),
    h("strong", null, lineVisible(first)),
    rest.length ? h("pre", { tabindex: "0", role: "group", "aria-label": "Details of the error" }, rest.map(lineVisible).join("\n")) : null,
  );
}

function lineVisible(line) {
  return line.split("\t").map(visible).join("\t");
}

/** Text of several lines, with what does not print made visible; to be shown where white space counts. */
export function lines(text) {
  return text.split("\n").map(lineVisible).join("\n");
}

/** Names and values below each other; empty ones are left out. */
export function facts(pairs) {
  const given = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
  return h("dl", { class: "facts" }, given.map(([name, value]) => [h("dt", null, name), h("dd", null, value)]));
}

/** A labelled input or select. */
export function field(label, control, props = {}) {
  return h("div", { class: `field ${props.class ?? ""}` }, h("label", { for: control.props.id }, label), control);
}
