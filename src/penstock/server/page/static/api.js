// Asks the API. Every address of it that the page uses stands here.

const ROOT = "/api/v1";

/** Why something was not done, in the API's words (problem+json, RFC 9457). */
export class Problem extends Error {
  constructor(status, detail, faults = []) {
    super([detail, ...faults].join("\n"));
    this.status = status;
    this.detail = detail;
    this.faults = faults;
  }
}

async function ask(method, place, body) {
  const options = { method, credentials: "same-origin", headers: { Accept: "application/json" } };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(ROOT + place, options);
  } catch {
    throw new Problem(0, "Penstock does not answer; is it running? (penstock serve)");
  }
  const text = await answer.text();
  const value = text && (answer.headers.get("content-type") ?? "").includes("json") ? JSON.parse(text) : text;
  if (answer.ok) return value;
  if (answer.status === 401) throw new Problem(401, "This browser is not let in any more; `penstock open` makes a new address.");
  throw new Problem(answer.status, value?.detail ?? `The answer was ${answer.status}.`, value?.faults);
}

/** The query string of the values that are not empty. */
export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

const part = encodeURIComponent;

export const api = {
  live: `${ROOT}/live`,
  status: () => ask("GET", "/status"),
  events: (wanted) => ask("GET", `/events${query(wanted)}`),
  runs: (wanted) => ask("GET", `/runs${query(wanted)}`),
  run: (id) => ask("GET", `/runs/${part(id)}`),
  cancel: (id) => ask("POST", `/runs/${part(id)}/cancel`, {}),
  rerun: (id, how) => ask("POST", `/runs/${part(id)}/rerun`, how),
  log: (id, wanted) => `${ROOT}/runs/${part(id)}/logs${query(wanted)}`,
  functions: () => ask("GET", "/functions"),
  workflows: () => ask("GET", "/workflows"),
  triggers: () => ask("GET", "/triggers"),
  versions: (name) => ask("GET", `/functions/${part(name)}`),
  plans: (name) => ask("GET", `/workflows/${part(name)}`),
  change: (trigger, how) => ask("PATCH", `/triggers/${part(trigger)}`, how),
  jobs: (wanted) => ask("GET", `/jobs${query(wanted)}`),
  letters: (wanted) => ask("GET", `/dead-letters${query(wanted)}`),
  letter: (id) => ask("GET", `/dead-letters/${part(id)}`),
  replay: (id, event) => ask("POST", `/dead-letters/${part(id)}/replay`, event === undefined ? {} : { event }),
  drop: (id) => ask("DELETE", `/dead-letters/${part(id)}`),
  explain: (wanted) => ask("GET", `/explain${query(wanted)}`),
};

/** The text at an address of the API, at most `most` characters of it. */
export async function textAt(address, most) {
  const answer = await fetch(address, { credentials: "same-origin" });
  if (!answer.ok) throw new Problem(answer.status, "its content is not there any more");
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (text.length < most) {
    const { value, done } = await reader.read();
    if (done) return { text, whole: true };
    text += value;
  }
  await reader.cancel();
  return { text: text.slice(0, most), whole: false };
}
