// Markdown → DOM nodes, for what models write: code, headings, lists, quotes, tables, emphasis, links.
// Safe by construction: every piece of input ends in a text node, and only http(s) addresses become links.

import { make } from "./dom.js";

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const RULE = /^ {0,3}([-*_])(\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?(.*)$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const TABLE_RULE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;
const MOST_DEPTH = 12;

/** A fragment with the blocks of `text`. */
export function markdown(text) {
  const fragment = document.createDocumentFragment();
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  fragment.append(...blocks(lines.map((line) => line.replace(/^\t+/, (tabs) => "    ".repeat(tabs.length))), 0));
  return fragment;
}

function blocks(lines, depth) {
  const nodes = [];
  let at = 0;
  while (at < lines.length) {
    const [node, next] = depth > MOST_DEPTH ? plain(lines, at) : block(lines, at, depth);
    if (node) nodes.push(node);
    at = next;
  }
  return nodes;
}

const plain = (lines) => [make("p", {}, lines.join("\n")), lines.length];

/** The block that begins at line `at`, and where the next one begins. */
function block(lines, at, depth) {
  const line = lines[at];
  if (!line.trim()) return [null, at + 1];
  let match;
  if ((match = FENCE.exec(line))) return fenced(lines, at, match);
  if ((match = HEADING.exec(line))) return [make(`h${Math.min(match[1].length + 2, 6)}`, {}, ...inline(match[2])), at + 1];
  if (RULE.test(line)) return [make("hr"), at + 1];
  if (QUOTE.test(line)) return quote(lines, at, depth);
  if (ITEM.test(line)) return list(lines, at, depth);
  if (line.includes("|") && TABLE_RULE.test(lines[at + 1] ?? "")) return table(lines, at);
  return paragraph(lines, at);
}

function fenced(lines, at, [, fence, language]) {
  const end = lines.findIndex((line, index) => index > at && line.trim().startsWith(fence) && !line.trim().slice(fence.length).trim());
  const stop = end === -1 ? lines.length : end; // still streaming: the rest is code
  const code = make("code", {}, lines.slice(at + 1, stop).join("\n"));
  return [make("pre", { "data-language": language || null, tabindex: "0" }, code), stop + 1];
}

function quote(lines, at, depth) {
  const inner = [];
  while (at < lines.length && QUOTE.test(lines[at])) inner.push(QUOTE.exec(lines[at++])[1]);
  return [make("blockquote", {}, ...blocks(inner, depth + 1)), at];
}

function list(lines, at, depth) {
  const first = ITEM.exec(lines[at]);
  const ordered = /\d/.test(first[2]);
  const start = parseInt(first[2]);
  const node = make(ordered ? "ol" : "ul", { start: ordered && start !== 1 ? start : null });
  while (at < lines.length) {
    const match = ITEM.exec(lines[at]);
    if (!match || match[1].length !== first[1].length || /\d/.test(match[2]) !== ordered) break;
    const width = match[0].length - match[3].length;
    const inner = [match[3]];
    at += 1;
    while (at < lines.length && belongs(lines, at, match[1].length)) inner.push(outdent(lines[at++], width));
    node.append(item(inner, depth));
    if (!lines[at]?.trim() && ITEM.test(lines[at + 1] ?? "")) at += 1; // a loose list goes on
  }
  return [node, at];
}

/** Whether a line continues the item whose marker stands at column `indent`. */
function belongs(lines, at, indent) {
  const line = lines[at];
  if (!line.trim()) return (lines[at + 1] ?? "").search(/\S/) > indent;
  if (line.search(/\S/) > indent) return true;
  return lines[at - 1].trim() !== "" && ![ITEM, FENCE, HEADING, QUOTE, RULE].some((start) => start.test(line));
}

const outdent = (line, width) => line.slice(Math.min(width, Math.max(line.search(/\S/), 0)));

function item(lines, depth) {
  const nodes = blocks(lines, depth + 1);
  // A tight item is text, not a paragraph.
  if (nodes[0]?.tagName === "P") nodes.splice(0, 1, ...nodes[0].childNodes);
  return make("li", {}, ...nodes);
}

function table(lines, at) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replace(/\\\|/g, "|"));
  const row = (line, tag) => make("tr", {}, ...cells(line).map((cell) => make(tag, {}, ...inline(cell))));
  const head = make("thead", {}, row(lines[at], "th"));
  const body = make("tbody");
  at += 2;
  while (at < lines.length && lines[at].includes("|")) body.append(row(lines[at++], "td"));
  return [make("div", { class: "table", tabindex: "0" }, make("table", {}, head, body)), at];
}

function paragraph(lines, at) {
  const from = at;
  do at += 1;
  while (at < lines.length && lines[at].trim() && ![FENCE, HEADING, RULE, QUOTE, ITEM].some((start) => start.test(lines[at])));
  return [make("p", {}, ...inline(lines.slice(from, at).join("\n"))), at];
}

// The match that begins first wins; between two at the same place, the one that is listed first.
const INLINE = [
  [/\\([\\`*_{}[\]()#+.!|~<>-])/g, (m) => m[1]],
  [/(?<!`)(`+)(?!`)([^]*?[^`])\1(?!`)/g, (m) => make("code", {}, m[2].replace(/^ (.*[^ ].*) $/s, "$1"))],
  [/\[([^\][]*)\]\((https?:\/\/[^\s()]*(?:\([^\s()]*\)[^\s()]*)*)\)/g, (m) => link(m[2], inline(m[1] || m[2]))],
  [/<(https?:\/\/[^\s<>]+)>/g, (m) => link(m[1], [m[1]])],
  [/https?:\/\/[^\s<>"'`)\]]*[^\s<>"'`)\].,;:!?*_]/g, (m) => link(m[0], [m[0]])],
  [/\*\*(?=\S)([^]*?\S)\*\*(?!\*)/g, (m) => make("strong", {}, ...inline(m[1]))],
  [/(?<!\w)__(?=\S)([^]*?\S)__(?!\w)/g, (m) => make("strong", {}, ...inline(m[1]))],
  [/~~(?=\S)([^]*?\S)~~/g, (m) => make("del", {}, ...inline(m[1]))],
  [/\*(?=[^\s*])([^*\n]*[^\s*])\*/g, (m) => make("em", {}, ...inline(m[1]))],
  [/(?<!\w)_(?=[^\s_])([^_\n]*[^\s_])_(?!\w)/g, (m) => make("em", {}, ...inline(m[1]))],
];

/** Nodes and strings. */
function inline(text) {
  const parts = [];
  const next = new Array(INLINE.length); // each pattern's next match; null when there is none left
  let at = 0;
  for (;;) {
    let best = null;
    INLINE.forEach(([pattern, build], kind) => {
      if (next[kind] === undefined || next[kind]?.index < at) {
        pattern.lastIndex = at;
        next[kind] = pattern.exec(text);
      }
      if (next[kind] && (!best || next[kind].index < best.match.index)) best = { match: next[kind], build };
    });
    if (!best) return [...parts, text.slice(at)];
    parts.push(text.slice(at, best.match.index), best.build(best.match));
    at = best.match.index + best.match[0].length;
  }
}

function link(address, children) {
  return make("a", { href: address, rel: "noopener noreferrer nofollow", target: "_blank" }, ...children);
}
