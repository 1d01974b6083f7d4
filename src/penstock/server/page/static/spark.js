// Small drawings without axes: their words stand above them.

import { h } from "./dom.js";
import { millis } from "./wording.js";

const BINS = 48;
const WIDTH = 240;
const HEIGHT = 36;

/** How many runs ended over time, failed ones in red at the foot. */
export function throughput(runs) {
  const ends = runs.map((run) => millis(run.ended));
  const first = Math.min(...ends);
  const wide = Math.max(...ends) - first || 1;
  const bins = Array.from({ length: BINS }, () => ({ good: 0, bad: 0 }));
  for (const run of runs) {
    const bin = bins[Math.min(Math.floor(((millis(run.ended) - first) / wide) * BINS), BINS - 1)];
    bin[run.phase === "failed" ? "bad" : "good"]++;
  }
  const tallest = Math.max(...bins.map((bin) => bin.good + bin.bad), 1);
  const step = WIDTH / BINS;
  const bars = bins.flatMap(({ good, bad }, place) => {
    const x = (place * step).toFixed(1);
    const [up, down] = [(good / tallest) * (HEIGHT - 2), (bad / tallest) * (HEIGHT - 2)];
    return [
      bad ? h("rect", { class: "tick bad", x, y: HEIGHT - down, width: step - 1.2, height: down }) : null,
      good ? h("rect", { class: "tick", x, y: HEIGHT - down - up, width: step - 1.2, height: up }) : null,
    ];
  });
  return frame("Runs that ended, over time", bars);
}

/** How long runs took, oldest first, on a logarithmic scale. */
export function latencies(runs) {
  const taken = [...runs].reverse().slice(-BINS);
  const values = taken.map((run) => Math.log10(Math.max(millis(run.ended) - millis(run.started), 0.1)));
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const step = WIDTH / BINS;
  const dots = taken.map((run, place) => {
    const height = high > low ? 4 + ((values[place] - low) / (high - low)) * (HEIGHT - 6) : HEIGHT / 2;
    const x = (WIDTH - (taken.length - place) * step).toFixed(1);
    return h("rect", { class: run.phase === "failed" ? "tick bad" : "tick", x, y: HEIGHT - height, width: step - 1.2, height });
  });
  return frame("Time of each of the last runs", dots);
}

function frame(label, marks) {
  return h(
    "svg",
    { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    h("line", { class: "zero", x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 }),
    marks,
  );
}
