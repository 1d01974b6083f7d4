// A run's steps as a drawing: layers from left to right, few crossings, every step a link.

import { h } from "./dom.js";
import { look } from "./wording.js";

const WIDTH = 184;
const HEIGHT = 60;
const GAP_X = 56;
const GAP_Y = 18;
const MARGIN = 6;
const SWEEPS = 4;
const NAME_CHARS_MAX = 19;

/**
 * Place steps in layers.
 *
 * Each step lies one layer behind its last predecessor; within a layer steps are ordered by the mean
 * place of their neighbours, sweeping forth and back.
 *
 * @param steps `[{name, after: [names]}]`, acyclic.
 * @returns `{places: Map(name -> {x, y}), width, height}`
 */
export function layout(steps) {
  const layers = layered(steps);
  order(layers, steps);
  const tallest = Math.max(...layers.map((layer) => layer.length), 1);
  const height = tallest * (HEIGHT + GAP_Y) - GAP_Y;
  const places = new Map();
  layers.forEach((layer, column) => {
    const used = layer.length * (HEIGHT + GAP_Y) - GAP_Y;
    layer.forEach((name, row) => {
      const y = MARGIN + (height - used) / 2 + row * (HEIGHT + GAP_Y);
      places.set(name, { x: MARGIN + column * (WIDTH + GAP_X), y });
    });
  });
  const width = Math.max(layers.length * (WIDTH + GAP_X) - GAP_X, 0);
  return { places, width: width + 2 * MARGIN, height: height + 2 * MARGIN };
}

function layered(steps) {
  const known = new Map(steps.map((step) => [step.name, step]));
  const depth = new Map();
  const depthOf = (name, seen) => {
    if (depth.has(name)) return depth.get(name);
    if (seen.has(name)) return 0;
    const before = known.get(name).after.filter((other) => known.has(other));
    const found = 1 + Math.max(-1, ...before.map((other) => depthOf(other, new Set([...seen, name]))));
    depth.set(name, found);
    return found;
  };
  const layers = [];
  for (const step of steps) (layers[depthOf(step.name, new Set())] ??= []).push(step.name);
  return layers;
}

function order(layers, steps) {
  const before = new Map(steps.map((step) => [step.name, step.after]));
  const behind = new Map(steps.map((step) => [step.name, []]));
  for (const step of steps) for (const other of step.after) behind.get(other)?.push(step.name);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const forth = sweep % 2 === 0;
    const walk = forth ? layers.slice(1) : layers.slice(0, -1).reverse();
    for (const layer of walk) byNeighbours(layer, forth ? before : behind, layers);
  }
}

function byNeighbours(layer, neighbours, layers) {
  const row = new Map(layers.flatMap((each) => each.map((name, index) => [name, index - (each.length - 1) / 2])));
  const weight = (name) => {
    const rows = neighbours.get(name).map((other) => row.get(other)).filter((each) => each !== undefined);
    return rows.length ? rows.reduce((sum, each) => sum + each, 0) / rows.length : row.get(name);
  };
  const weights = new Map(layer.map((name) => [name, weight(name)]));
  layer.sort((one, other) => weights.get(one) - weights.get(other));
}

/**
 * Draw steps.
 *
 * @param steps `[{name, after, state, map: {done, failed, total} | null, batch, function}]`
 * @param chosen Name of the step that is shown below.
 * @param address Function from a step's name to the address that shows it.
 */
export function graph(steps, chosen, address) {
  const { places, width, height } = layout(steps);
  const edges = steps.flatMap((step) =>
    step.after.filter((other) => places.has(other)).map((other) => edge(places.get(other), places.get(step.name), step, other)),
  );
  return h(
    "svg",
    { class: "graph", width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Steps of the run" },
    edges,
    steps.map((step) => node(step, places.get(step.name), step.name === chosen, address(step.name))),
  );
}

function edge(from, to, step, other) {
  const x1 = from.x + WIDTH;
  const y1 = from.y + HEIGHT / 2;
  const y2 = to.y + HEIGHT / 2;
  const bend = Math.max((to.x - x1) / 2, 20);
  const d = `M${x1},${y1} C${x1 + bend},${y1} ${to.x - bend},${y2} ${to.x},${y2}`;
  const reached = step.state !== "waiting" && step.state !== "skipped";
  return h("path", { key: `${other}>${step.name}`, class: reached ? "edge reached" : "edge", d });
}

function node(step, { x, y }, isChosen, address) {
  const [symbol, colour] = look(step.state);
  const marks = [step.map && "map", step.batch && "batch", step.join === "ended" && "always"].filter(Boolean).join(" · ");
  const progress = step.map?.total != null ? `${step.map.done}/${step.map.total}` : "";
  const words = [step.name, step.state, progress && `${progress} items done`, marks].filter(Boolean).join(", ");
  return h(
    "a",
    {
      key: step.name,
      href: address,
      class: `node ${colour}${isChosen ? " chosen" : ""}`,
      transform: `translate(${x},${y})`,
      "aria-label": words,
      "aria-current": isChosen ? "true" : undefined,
    },
    h("title", null, words),
    h("rect", { class: "box", width: WIDTH, height: HEIGHT, rx: 8 }),
    h("text", { class: "symbol", x: 14, y: 25 }, symbol),
    h("text", { class: "name", x: 34, y: 25 }, clipped(step.name, NAME_CHARS_MAX)),
    h("text", { class: "state", x: 34, y: 43 }, progress ? `${step.state} ${progress}` : step.state),
    marks && h("text", { class: "mark", x: WIDTH - 12, y: 43 }, marks),
    step.map?.total ? bar(step.map) : null,
  );
}

function bar({ done, failed, total }) {
  const full = WIDTH - 20;
  return h(
    "g",
    { key: "bar", transform: `translate(10,${HEIGHT - 8})` },
    h("rect", { class: "bar", width: full, height: 3, rx: 1.5 }),
    h("rect", { class: "bar-done", width: (full * done) / total, height: 3, rx: 1.5 }),
    h("rect", { class: "bar-failed", x: (full * done) / total, width: (full * (failed ?? 0)) / total, height: 3 }),
  );
}

function clipped(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
