// Small helpers. Text only ever becomes text: nothing here, or anywhere, parses HTML.

/** make("a", {class: "x", onclick: f}, "text", otherNode): attributes, listeners, children. */
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  return put(node, children);
}

/** One by one: an answer can have more parts than a call may have arguments. */
export function put(node, children) {
  for (const child of children) if (child !== null && child !== undefined) node.append(child);
  return node;
}

export const byId = (id) => document.getElementById(id);

export const texts = () => JSON.parse(byId("texts").textContent);

/** What only a page of this login knows: with it a decision is a person's. */
export const pageToken = () => document.querySelector('meta[name="nanobot-page"]')?.content ?? "";

/** fill("{a} de {b}", {a: 1, b: 2}) */
export const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
