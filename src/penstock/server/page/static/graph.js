// A run's steps as a drawing: layers from left to right, few crossings, every step a link.

import { h } from "./dom.js";
import { look } from "./wording.js";

const WIDTH = 184;
const HEIGHT = 60;
const GAP_X = 56;
const GAP_Y = 18;
const PASS = 16;
const MARGIN = 6;
const SWEEPS = 4;
const NAME_CHARS_MAX = 19;

/**
 * Place steps in layers.
 *
 * Each step lies one layer behind its last predecessor. An edge that passes layers gets a place of its
 * own in each of them, so that it runs between steps and not behind them. Within a layer the order
 * follows the mean place of the neighbours, sweeping forth and back.
 *
 * @param steps `[{name, after: [names]}]`, acyclic.
 * @returns `{places: Map(name -> {x, y}), via: Map("from>to" -> [names of places]), width, height}`
 */
export function layout(steps) {
  const { layers, nodes, via } = threaded(steps, layered(steps));
  order(layers, nodes);
  const tall = (name) => (via.passes.has(name) ? PASS : HEIGHT);
  const used = layers.map((layer) => layer.reduce((sum, name) => sum + tall(name) + GAP_Y, -GAP_Y));
  const height = Math.max(...used, HEIGHT);
  const places = new Map();
  layers.forEach((layer, column) => {
    let y = MARGIN + (height - used[column]) / 2;
    for (const name of layer) {
      places.set(name, { x: MARGIN + column * (WIDTH + GAP_X), y });
      y += tall(name) + GAP_Y;
    }
  });
  const width = Math.max(layers.length * (WIDTH + GAP_X) - GAP_X, 0);
  return { places, via: via.edges, width: width + 2 * MARGIN, height: height + 2 * MARGIN };
}

/** Put places into the layers that long edges pass. */
function threaded(steps, layers) {
  const column = new Map(layers.flatMap((layer, place) => layer.map((name) => [name, place])));
  const nodes = [];
  const via = { edges: new Map(), passes: new Set() };
  for (const step of steps) {
    const after = step.after.filter((other) => column.has(other));
    const last = after.map((other) => {
      const passes = [];
      for (let place = column.get(other) + 1; place < column.get(step.name); place++) {
        const name = `${other}>${step.name}>${place}`;
        nodes.push({ name, after: [passes.at(-1) ?? other] });
        layers[place].push(name);
        passes.push(name);
        via.passes.add(name);
      }
      via.edges.set(`${other}>${step.name}`, passes);
      return passes.at(-1) ?? other;
    });
    nodes.push({ name: step.name, after: last });
  }
  return { layers, nodes, via };
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
  return Array.from(layers, (layer) => layer ?? []);
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
  const { places, via, width, height } = layout(steps);
  const edges = steps.flatMap((step) =>
    step.after.filter((other) => places.has(other)).map((other) => edge(places, via.get(`${other}>${step.name}`), other, step)),
  );
  return h(
    "svg",
    { class: "graph", width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Steps of the run" },
    edges,
    steps.map((step) => node(step, places.get(step.name), step.name === chosen, address(step.name))),
  );
}

function edge(places, passes, other, step) {
  const from = places.get(other);
  let [x, y] = [from.x + WIDTH, from.y + HEIGHT / 2];
  let d = `M${x},${y}`;
  const bend = (toX, toY) => {
    const middle = (x + toX) / 2;
    d += ` C${middle},${y} ${middle},${toY} ${toX},${toY}`;
  };
  for (const pass of passes) {
    const place = places.get(pass);
    bend(place.x, place.y + PASS / 2);
    [x, y] = [place.x + WIDTH, place.y + PASS / 2];
    d += ` H${x}`;
  }
  const to = places.get(step.name);
  bend(to.x, to.y + HEIGHT / 2);
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
