// The keyboard: one letter each, `g` and a letter to go somewhere. They can be switched off.

import { h } from "./dom.js";
import { show } from "./dialog.js";

const SEQUENCE_MS = 1200;
const STORED = "penstock-keys";

const KEYS = [
  ["/", "Search or filter"],
  ["j  k", "Next, previous row of a list"],
  ["Enter", "Open the row"],
  ["g o", "Overview"],
  ["g r", "Runs"],
  ["g f", "Functions"],
  ["g d", "Dead letters"],
  ["g e", "Explain: why did my file (not) run?"],
  ["g j", "Jobs"],
  ["p", "Pause live events, and go on"],
  ["t", "Dark or light"],
  ["?", "This list"],
];

const PLACES = { o: "/", r: "/runs", f: "/functions", d: "/dead-letters", e: "/explain", j: "/jobs" };

/** Listen to the keyboard. `go(path)` leaves for a place; `deeds` has what `p` and `t` do. */
export function listen(go, deeds) {
  let last = { key: "", at: 0 };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const isSecond = last.key === "g" && event.timeStamp - last.at < SEQUENCE_MS;
    last = { key: event.key, at: event.timeStamp };
    if (event.key === "?") return done(event, help);
    if (!areOn()) return;
    if (isSecond && PLACES[event.key]) return done(event, () => go(PLACES[event.key]));
    if (event.key === "/") return done(event, focusSearch);
    if (event.key === "j" || event.key === "k") return done(event, () => step(event.key === "j" ? 1 : -1));
    if (deeds[event.key]) done(event, deeds[event.key]);
  });
}

function done(event, deed) {
  event.preventDefault();
  deed();
}

function isTyping(target) {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

function focusSearch() {
  const field = document.querySelector("[data-search]");
  field?.focus();
  field?.select();
}

function step(by) {
  const rows = [...document.querySelectorAll("[data-row]")];
  if (!rows.length) return;
  const here = rows.findIndex((row) => row === document.activeElement || row.closest(".row")?.contains(document.activeElement));
  const next = here < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(here + by, 0), rows.length - 1);
  rows[next].focus();
  rows[next].scrollIntoView({ block: "nearest" });
}

function areOn() {
  try {
    return localStorage.getItem(STORED) !== "off";
  } catch {
    return true;
  }
}

/** Show the list of keys, and the switch for them. */
export function help() {
  const change = (event) => localStorage.setItem(STORED, event.target.checked ? "on" : "off");
  show(
    "Keyboard",
    h("dl", { class: "keys" }, KEYS.map(([keys, words]) => [h("dt", null, keys.split(/ +/).map((key, place) => [place ? " " : "", h("kbd", null, key)])), h("dd", null, words)])),
    h("p", null, h("label", { class: "line-label" }, h("input", { type: "checkbox", checked: areOn(), onchange: change }), " Use single letters as shortcuts")),
  );
}
