// How values read to people. The same words and symbols as the command line's.

export const STATES = {
  // state: [symbol, kind of colour]
  succeeded: ["✓", "good"],
  matched: ["✓", "good"],
  active: ["✓", "good"],
  running: ["▶", "busy"],
  submitted: ["▶", "busy"],
  retrying: ["↻", "warn"],
  waiting: ["…", "idle"],
  queued: ["…", "idle"],
  held: ["‖", "warn"],
  paused: ["‖", "warn"],
  failed: ["✗", "bad"],
  evicted: ["✗", "bad"],
  refused: ["✗", "bad"],
  loop: ["✗", "bad"],
  open: ["✗", "bad"],
  cancelled: ["■", "stop"],
  skipped: ["↷", "idle"],
  dropped: ["■", "idle"],
  replayed: ["↻", "good"],
  duplicate: ["=", "idle"],
};

/** Symbol and kind of colour of a state. */
export function look(state) {
  return STATES[state] ?? ["·", "idle"];
}

const date = new Intl.DateTimeFormat("en-CA", { year: "numeric", month: "2-digit", day: "2-digit" });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const number = new Intl.NumberFormat("en");

/** Milliseconds since 1970 of a time in RFC 3339, microseconds included; NaN if it is none. */
export function millis(when) {
  const finer = /\.\d{3}(\d+)/.exec(when ?? "");
  return Date.parse(when ?? "") + (finer ? Number(`0.${finer[1]}`) : 0);
}

/** A time in the local zone, with its date unless that is today. */
export function moment(when) {
  const at = millis(when);
  if (!when || Number.isNaN(at)) return "";
  const day = date.format(at);
  return day === date.format(Date.now()) ? clock.format(at) : `${day} ${clock.format(at)}`;
}

/** Seconds as `12 ms`, `3.4 s`, `2 min 5 s`, `3 h 10 min`. */
export function duration(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return "";
  if (seconds < 0.9995) return `${(seconds * 1000).toFixed(seconds < 0.00995 ? 1 : 0)} ms`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return both(whole, 60, "min", 1, "s");
  if (whole < 172800) return both(whole, 3600, "h", 60, "min");
  return `${Math.floor(whole / 86400)} days`;
}

function both(whole, large, largeUnit, small, smallUnit) {
  const rest = Math.floor((whole % large) / small);
  return `${Math.floor(whole / large)} ${largeUnit}${rest ? ` ${rest} ${smallUnit}` : ""}`;
}

/** How long something took; empty while it goes on. */
export function span(start, end) {
  return start && end ? duration((millis(end) - millis(start)) / 1000) : "";
}

/** Bytes in B, KiB, MiB, GiB or TiB. */
export function size(bytes) {
  if (typeof bytes !== "number") return "";
  let amount = bytes;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (amount < 1024) return unit === "B" ? `${amount} B` : `${amount.toFixed(1)} ${unit}`;
    amount /= 1024;
  }
  return `${amount.toFixed(1)} TiB`;
}

/** A count with separators of thousands. */
export function count(amount) {
  return number.format(amount ?? 0);
}

/** `1 run`, `2 runs`. */
export function plural(amount, one, many = `${one}s`) {
  return `${count(amount)} ${amount === 1 ? one : many}`;
}

/** The path that a subject (percent-encoded) stands for, with characters that do not print made visible. */
export function path(subject) {
  let text = subject ?? "";
  try {
    text = decodeURIComponent(text);
  } catch {
    // Bytes that are no UTF-8 stay percent-encoded: that names the file exactly.
  }
  return visible(text);
}

/** Text whose control and direction-changing characters are written out, so that no name deceives. */
export function visible(text) {
  return String(text).replace(
    /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (each) => ({ "\n": "\\n", "\t": "\\t", "\r": "\\r" })[each] ?? `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The last part of a path. */
export function base(text) {
  return text.split("/").filter(Boolean).pop() ?? text;
}

/** The folders before a path's last part. */
export function folder(text) {
  return text.slice(0, text.lastIndexOf("/") + 1);
}

/** The beginning of an id, as the command line shows and takes it. */
export function short(id) {
  return (id ?? "").split(":").pop().slice(0, 10);
}

/** `calibrate` of `local/calibrate@3`. */
export function bare(reference) {
  return (reference ?? "").split("/").pop().split("@")[0];
}

/** An event's type without the prefix that all have. */
export function kind(type) {
  return (type ?? "").replace(/^penstock\./, "");
}
