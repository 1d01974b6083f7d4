// Tries over time: a line per step, tries that overlap below each other.

import { h } from "./dom.js";
import { empty } from "./parts.js";
import { duration, look, millis } from "./wording.js";

const LANES_MAX = 8;
const LANE_PX = 7;
const LINE_PX_MIN = 14;

/** Draw the attempts of `{run, steps}`; those under way reach to the right edge. */
export function timeline({ run, steps }) {
  const attempts = steps.flatMap((step) => step.attempts).filter((each) => each.started);
  if (!attempts.length) return empty("Nothing has begun yet.");
  const first = Math.min(millis(run.started), ...attempts.map((each) => millis(each.started)));
  const known = attempts.flatMap((each) => [millis(each.ended ?? each.started), millis(each.started)]);
  const isOpen = !run.ended;
  const last = isOpen ? Math.max(...known, first + 1) : Math.max(millis(run.ended), ...known);
  const wide = Math.max(last - first, 0.001) * (isOpen ? 1.1 : 1);
  return h(
    "div",
    { class: "timeline" },
    steps.filter((step) => step.attempts.some((each) => each.started)).map((step) => line(step, first, wide)),
    h("span", { class: "label", key: "axis" }),
    h("div", { class: "axis", key: "ticks" }, h("span", null, "0"), h("span", null, duration(wide / 2000)), h("span", null, isOpen ? "now" : duration(wide / 1000))),
  );
}

function line(step, first, wide) {
  const begun = step.attempts.filter((each) => each.started).sort((one, other) => millis(one.started) - millis(other.started));
  const lanes = [];
  const bars = begun.map((each) => {
    const start = millis(each.started) - first;
    const end = each.ended ? millis(each.ended) - first : wide;
    let lane = lanes.findIndex((free) => free <= start);
    if (lane < 0) lane = lanes.length < LANES_MAX ? lanes.length : lanes.indexOf(Math.min(...lanes));
    lanes[lane] = end;
    return { each, start, end, lane };
  });
  const tall = Math.max(lanes.length * LANE_PX + 2, LINE_PX_MIN);
  const thick = lanes.length === 1 ? tall - 4 : LANE_PX - 2;
  return [
    h("span", { class: "label", key: `label-${step.name}` }, step.name),
    h(
      "svg",
      { key: `bars-${step.name}`, height: tall, width: "100%", role: "img", "aria-label": `${step.name}: ${told(begun)}` },
      bars.map((bar) => rect(bar, wide, thick)),
    ),
  ];
}

function rect({ each, start, end, lane }, wide, thick) {
  const share = (value) => `${((value / wide) * 100).toFixed(3)}%`;
  const took = each.ended ? duration((millis(each.ended) - millis(each.started)) / 1000) : "under way";
  const which = each.item < 0 ? `try ${each.attempt}` : `item ${each.item}, try ${each.attempt}`;
  return h(
    "g",
    { class: look(each.phase)[1], key: `${each.item}/${each.attempt}` },
    h("rect", { x: share(start), width: share(Math.max(end - start, wide / 250)), y: 2 + lane * LANE_PX, height: thick, rx: 2 }, h("title", null, `${which}: ${each.phase}, ${took}`)),
  );
}

function told(attempts) {
  const last = attempts.at(-1);
  return attempts.length === 1 ? `one try, ${last.phase}` : `${attempts.length} tries, the last ${last.phase}`;
}
