// The frame: which view is shown, what it hears, and when it is drawn again.

import { api, Problem } from "./api.js";
import { notice, quiet, say } from "./dialog.js";
import { h, render } from "./dom.js";
import { help, listen } from "./keys.js";
import { Live } from "./live.js";
import { button, empty, head } from "./parts.js";
import { count } from "./wording.js";
import { DeadLetter, DeadLetters } from "./views/dead-letters.js";
import { Explain } from "./views/explain.js";
import { Functions } from "./views/functions.js";
import { Jobs } from "./views/jobs.js";
import { Overview } from "./views/overview.js";
import { Run } from "./views/run.js";
import { Runs } from "./views/runs.js";

const VIEWS = [
  [/^\/$/, Overview],
  [/^\/runs$/, Runs],
  [/^\/runs\/([^/]+)$/, Run],
  [/^\/functions$/, Functions],
  [/^\/dead-letters$/, DeadLetters],
  [/^\/dead-letters\/([^/]+)$/, DeadLetter],
  [/^\/explain$/, Explain],
  [/^\/jobs$/, Jobs],
];
/** Least time between two questions to the API, however much happens. */
const GAP_MS = 250;

const main = document.getElementById("main");
const shared = { status: null };
let view = null;
let failure = null;

// -- drawing ----------------------------------------------------------------------------------

let drawing = false;

/** Draw again before the next frame; many calls are one. Hidden pages are not drawn. */
function redraw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
}

function draw() {
  const content = failure ? failed(failure) : view.isReady ? view.draw() : h("p", { class: "note", key: "wait" }, "Asking…");
  render(main, h("div", { key: view.address }, content));
  drawFrame();
}

function failed(problem) {
  return [
    head(problem.status === 404 ? "There is no such thing" : "This cannot be shown"),
    h("div", { class: "banner bad", role: "alert" }, h("p", { class: "problem" }, problem.message)),
    button("Try again", () => view.reload(), { class: "primary" }),
  ];
}

function drawFrame() {
  for (const link of document.querySelectorAll("[data-nav]")) {
    const isHere = link.dataset.nav === "/" ? location.pathname === "/" : location.pathname.startsWith(link.dataset.nav);
    const was = link.hasAttribute("aria-current");
    if (isHere) link.setAttribute("aria-current", "page");
    // On narrow screens the navigation is a strip that scrolls.
    if (isHere && !was) link.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (!isHere) link.removeAttribute("aria-current");
  }
  badge("/dead-letters", shared.status?.dead_letters?.open ?? 0, "open", "bad");
  badge("/runs", shared.status?.engine?.runs?.active ?? 0, "under way", "busy");
}

function badge(place, amount, words, colour) {
  const node = document.querySelector(`[data-count="${place}"]`);
  node.hidden = amount === 0;
  node.className = `count ${colour}`;
  render(node, count(amount), h("span", { class: "unseen" }, ` ${words}`));
}

// -- asking -----------------------------------------------------------------------------------

/** Runs `work` now, or once the last time is over and `GAP_MS` have passed; many calls are one. */
function paced(work) {
  let isBusy = false;
  let isWanted = false;
  const run = async () => {
    if (isBusy) {
      isWanted = true;
      return;
    }
    isBusy = true;
    isWanted = false;
    try {
      await work();
    } finally {
      setTimeout(() => {
        isBusy = false;
        if (isWanted) run();
      }, GAP_MS);
    }
  };
  return run;
}

const askStatus = paced(async () => {
  try {
    shared.status = await api.status();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    // The line says that nobody answers.
  }
  redraw();
});

function show(address, isBack = false) {
  const url = new URL(address, location.href);
  view?.leave?.();
  const [pattern, Kind] = VIEWS.find(([each]) => each.test(url.pathname)) ?? [/^/, Unknown];
  const names = pattern.exec(url.pathname).slice(1).map(decoded);
  const next = new Kind();
  failure = null;
  view = next;
  next.address = url.pathname;
  next.shared = shared;
  next.redraw = () => view === next && redraw();
  next.go = go;
  const load = async () => {
    try {
      await next.load(names, new URL(location.href).searchParams);
      if (view === next) failure = null;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      // What was shown stays while nobody answers; it is asked for again when the line is back.
      const isAway = error.status === 0 || error.status >= 500;
      if (view === next && !(isAway && next.isReady && !failure)) failure = error;
    } finally {
      next.isReady = true;
      if (view === next) draw();
    }
  };
  next.reload = paced(load);
  document.title = `${next.title} · Penstock`;
  draw();
  next.reload();
  if (!isBack) scrollTo(0, 0);
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

class Unknown {
  title = "Not found";
  async load() {}
  draw() {
    return [head("There is nothing here"), empty("This address is none of the page's.", h("a", { href: "/" }, "Go to the overview"))];
  }
}

// -- going ------------------------------------------------------------------------------------

function go(address) {
  const there = new URL(address, location.href);
  const isSame = there.pathname === location.pathname;
  history.pushState(null, "", there);
  quiet();
  if (isSame && view.steer) view.steer(there.searchParams);
  else {
    show(there);
    main.focus({ preventScroll: true });
    say(view.title);
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const address = link.getAttribute("href");
  if (link.getAttribute("target") || !address.startsWith("/") || address.startsWith("/api/")) return;
  event.preventDefault();
  go(address);
});
addEventListener("popstate", () => show(location.href, true));

// -- hearing ----------------------------------------------------------------------------------

let isLost = false;

function stood(isThere) {
  const line = document.getElementById("line");
  line.className = isThere ? "line live" : "line lost";
  line.textContent = isThere ? "live" : "no connection";
  if (!isThere) isLost = true;
  else {
    askStatus();
    // What happened while the line was away is asked for once.
    if (isLost) view.reload();
    isLost = false;
  }
}

/** Whether it makes sense to try again, after the stream was refused. */
async function mayTry() {
  try {
    await api.status();
  } catch (error) {
    if (error.status !== 401) return true;
    failure = error;
    redraw();
    return false;
  }
  return true;
}

function heard(message) {
  if (message.kind !== "event" && message.kind !== "step") askStatus();
  if (message.kind === "deadletter" && message.phase === "open") say("A new dead letter has come.");
  view.hear?.(message);
}

// -- beginning --------------------------------------------------------------------------------

function toggleTheme() {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("penstock-theme", root.dataset.theme);
  nameTheme();
}

function nameTheme() {
  const isDark = document.documentElement.dataset.theme === "dark";
  document.getElementById("theme-word").textContent = isDark ? "Dark" : "Light";
  document.getElementById("theme").setAttribute("aria-label", isDark ? "Dark; switch to light" : "Light; switch to dark");
}

document.getElementById("theme").addEventListener("click", toggleTheme);
document.getElementById("help").addEventListener("click", help);
listen(go, { t: toggleTheme, p: () => view.pause?.() });
addEventListener("unhandledrejection", (event) => {
  if (!(event.reason instanceof Problem)) return;
  event.preventDefault();
  notice(event.reason.message, { bad: true });
});
nameTheme();
show(location.href);
new Live(api.live, { heard, stood, mayTry }).open();
