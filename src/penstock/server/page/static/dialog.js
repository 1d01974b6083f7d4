// Questions, notices and the list of keys.

import { h, render } from "./dom.js";
import { button } from "./parts.js";

/** Ask before something is done. Resolves to what `values()` returns, or null if the person thought better. */
export function confirm({ title, body, verb, danger = false, values = () => true }) {
  return new Promise((resolve) => {
    const dialog = document.createElement("dialog");
    dialog.setAttribute("aria-labelledby", "dialog-title");
    document.body.append(dialog);
    const before = document.activeElement;
    const close = (answer) => {
      dialog.close();
      dialog.remove();
      before?.focus?.();
      resolve(answer);
    };
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      close(null);
    });
    render(
      dialog,
      h("h2", { id: "dialog-title" }, title),
      h("div", { class: "body" }, body),
      h(
        "div",
        { class: "actions" },
        button("Keep as it is", () => close(null)),
        button(verb, () => close(values(dialog)), { class: danger ? "danger" : "primary", autofocus: true }),
      ),
    );
    dialog.showModal();
  });
}

/** Show a dialog with one way out. */
export function show(title, ...body) {
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", "dialog-title");
  document.body.append(dialog);
  const before = document.activeElement;
  dialog.addEventListener("close", () => {
    dialog.remove();
    before?.focus?.();
  });
  const close = () => dialog.close();
  render(dialog, h("h2", { id: "dialog-title" }, title), h("div", { class: "body" }, body), h("div", { class: "actions" }, button("Close", close, { class: "primary", autofocus: true })));
  dialog.showModal();
}

/** Say something to everybody: seen in a corner, and read out by screen readers. It stays until dismissed. */
export function notice(words, { bad = false, link } = {}) {
  const place = document.getElementById("notices");
  document.getElementById("said").textContent = words;
  const hide = () => render(place);
  render(
    place,
    h("div", { class: bad ? "notice bad" : "notice" }, h("p", null, words, link && [" ", h("a", { href: link.href, onclick: hide }, link.word)]), button("×", hide, { class: "quiet small", "aria-label": "Dismiss" })),
  );
}

/** Take the notice away. */
export function quiet() {
  render(document.getElementById("notices"));
}

/** Tell screen readers alone. */
export function say(words) {
  document.getElementById("said").textContent = words;
}
