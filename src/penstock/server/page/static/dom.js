// Trees of plain values, patched into the document in place.
//
// Views are functions from data to `h(...)` values; `render` changes only what differs, so focus,
// selection and scrolling survive every push. Text reaches the page as text nodes and attributes
// alone: there is no way from here to markup, so a file's name can never become code.

const SVG = "http://www.w3.org/2000/svg";
const KEY = Symbol("key");
const PROPS = Symbol("props");
const LISTENERS = Symbol("listeners");
const AS_PROPERTY = new Set(["value", "checked", "disabled", "open", "hidden", "selected"]);
const UNSAFE = new Set(["style", "srcdoc", "innerhtml", "outerhtml"]);

/** A node to be: `h("a", {href: "/runs", onclick: go}, "text", [more])`. Empty values are left out. */
export function h(tag, props, ...kids) {
  return { tag, props: props ?? {}, kids: flat(kids) };
}

/** Make `parent`'s children what `kids` say. */
export function render(parent, ...kids) {
  reconcile(parent, flat(kids));
}

function flat(kids) {
  return kids
    .flat(Infinity)
    .filter((kid) => kid !== null && kid !== undefined && kid !== false && kid !== true && kid !== "")
    .map((kid) => (typeof kid === "object" ? kid : String(kid)));
}

function reconcile(parent, kids) {
  const wanted = new Set(kids.map((kid) => kid.props?.key).filter((key) => key !== undefined));
  const keyed = new Map();
  for (const node of [...parent.childNodes]) {
    if (node[KEY] === undefined) continue;
    if (wanted.has(node[KEY])) keyed.set(node[KEY], node);
    else node.remove();
  }
  let place = parent.firstChild;
  for (const kid of kids) {
    const found = fitting(kid, place, keyed);
    const node = found ?? create(kid, parent);
    if (found) update(found, kid);
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function fitting(kid, place, keyed) {
  const key = kid.props?.key;
  const node = key === undefined ? place : keyed.get(key);
  if (!node || node[KEY] !== key) return null;
  if (typeof kid === "string") return node.nodeType === Node.TEXT_NODE ? node : null;
  return node.nodeType === Node.ELEMENT_NODE && node.localName === kid.tag ? node : null;
}

function create(kid, parent) {
  if (typeof kid === "string") return document.createTextNode(kid);
  const inSvg = kid.tag === "svg" || (parent.namespaceURI === SVG && parent.localName !== "foreignObject");
  const node = inSvg ? document.createElementNS(SVG, kid.tag) : document.createElement(kid.tag);
  node[KEY] = kid.props.key;
  node[PROPS] = {};
  update(node, kid);
  kid.props.made?.(node);
  return node;
}

function update(node, kid) {
  if (typeof kid === "string") {
    if (node.data !== kid) node.data = kid;
    return;
  }
  const before = node[PROPS] ?? {};
  // Children first: a select can take its value only once its options are there.
  if (!kid.props.own) reconcile(node, kid.kids);
  for (const name of new Set([...Object.keys(before), ...Object.keys(kid.props)])) {
    if (before[name] !== kid.props[name]) assign(node, name, kid.props[name]);
  }
  node[PROPS] = kid.props;
}

function assign(node, name, value) {
  if (name === "key" || name === "made" || name === "own") return;
  if (name.startsWith("on")) return listen(node, name.slice(2), value);
  if (UNSAFE.has(name.toLowerCase())) throw new Error(`attribute ${name} is not allowed`);
  if ((name === "href" || name === "src") && value) checkAddress(value);
  if (AS_PROPERTY.has(name) && name in node) node[name] = value ?? (typeof node[name] === "string" ? "" : false);
  else if (value === undefined || value === null || value === false) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? "" : String(value));
}

function listen(node, kind, handler) {
  if (handler !== undefined && typeof handler !== "function") throw new Error("a listener is a function");
  const listeners = (node[LISTENERS] ??= {});
  if (!(kind in listeners)) node.addEventListener(kind, (event) => listeners[kind]?.(event));
  listeners[kind] = handler;
}

function checkAddress(address) {
  const isOurs = new URL(address, location.href).origin === location.origin;
  if (!isOurs) throw new Error(`only addresses of this page are followed, not ${address}`);
}
