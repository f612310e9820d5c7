// Markdown → DOM nodes, for what models write: code, headings, lists, quotes, tables, emphasis, links.
// Safe by construction: every piece of input ends in a text node, and only http(s) addresses become links.

import { make, put } from "./dom.js";

// The text may come from anywhere, so everything here takes time in proportion to its length: in no pattern can two
// neighbours match the same characters, and what has no end is looked for once.
const FENCE = /^ {0,3}(`{3,}(?!`)|~{3,}(?!~))([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})\s(.*)$/s;
const RULE = /^ {0,3}([-*_])(\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?(.*)$/s;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/s;
const MOST_DEPTH = 12;

/** A fragment with the blocks of `text`. */
export function markdown(text) {
  const fragment = document.createDocumentFragment();
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  return put(fragment, blocks(lines.map((line) => line.replace(/^\t+/, (tabs) => "    ".repeat(tabs.length))), 0));
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
  if ((match = HEADING.exec(line))) return [heading(match), at + 1];
  if (RULE.test(line)) return [make("hr"), at + 1];
  if (QUOTE.test(line)) return quote(lines, at, depth);
  if (ITEM.test(line)) return list(lines, at, depth);
  if (line.includes("|") && isTableRule(lines[at + 1] ?? "")) return table(lines, at);
  return paragraph(lines, at);
}

function heading([, marks, rest]) {
  let end = (rest = rest.trim()).length;
  while (rest[end - 1] === "#") end -= 1;
  const title = end === 0 || rest[end - 1] === " " ? rest.slice(0, end).trimEnd() : rest; // "# C#" ends in no mark
  return put(make(`h${Math.min(marks.length + 2, 6)}`), inline(title));
}

function fenced(lines, at, [, fence, info]) {
  const from = at + 1;
  do at += 1;
  while (at < lines.length && !closes(lines[at].trim(), fence)); // still streaming: the rest is code
  const code = make("code", {}, lines.slice(from, at).join("\n"));
  return [make("pre", { "data-language": /^[\w+#.-]*/.exec(info.trim())[0] || null, tabindex: "0" }, code), at + 1];
}

const closes = (line, fence) => line.startsWith(fence) && !line.replaceAll(fence[0], "");

function quote(lines, at, depth) {
  const inner = [];
  while (at < lines.length && QUOTE.test(lines[at])) inner.push(QUOTE.exec(lines[at++])[1]);
  return [put(make("blockquote"), blocks(inner, depth + 1)), at];
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
  const tight = nodes[0]?.tagName === "P" ? [...nodes.shift().childNodes] : [];
  return put(put(make("li"), tight), nodes);
}

const cells = (line) => line.trim().replace(/^\|/, "").replace(/\|$/, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
const isTableRule = (line) => cells(line).every((cell) => /^:?-+:?$/.test(cell));

function table(lines, at) {
  const row = (line, tag) => put(make("tr"), cells(line).map((cell) => put(make(tag), inline(cell))));
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
  return [put(make("p"), inline(lines.slice(from, at).join("\n"))), at];
}

// ---------------------------------------------------------------- inside a block

// For one text each kind gives a function from a place to its next match there or later: {index, end, node}. The match
// that begins first wins; between two at the same place, the one that is listed first.
const TEXT = [
  pattern(/\\([\\`*_{}[\]()#+.!|~<>-])/g, (m) => m[1]),
  code,
  pair(/\*\*(?=\S)/g, /(?<=\S)\*\*(?!\*)/g, "strong"),
  pair(/(?<!\w)__(?=\S)/g, /(?<=\S)__(?!\w)/g, "strong"),
  pair(/~~(?=\S)/g, /(?<=\S)~~/g, "del"),
  pattern(/\*(?=[^\s*])([^*\n]*[^\s*])\*/g, (m, depth) => put(make("em"), inline(m[1], depth + 1))),
  pattern(/(?<!\w)_(?=[^\s_])([^_\n]*[^\s_])_(?!\w)/g, (m, depth) => put(make("em"), inline(m[1], depth + 1))),
];
const LINKS = [
  // An image is never loaded: its address alone would tell its site what was read here.
  pattern(/!\[([^\][]*)\]\((https?:\/\/[^\s()]*(?:\([^\s()]*\)[^\s()]*)*)\)/g, (m) => put(make("span"), [m[1] && `${m[1]}: `, link(m[2], [m[2]])])),
  pattern(/\[([^\][]*)\]\((https?:\/\/[^\s()]*(?:\([^\s()]*\)[^\s()]*)*)\)/g, (m, depth) => link(m[2], inline(m[1] || m[2], depth + 1, TEXT))),
  pattern(/<(https?:\/\/[^\s<>]+)>/g, (m) => link(m[1], [m[1]])),
  pattern(/https?:\/\/[^\s<>"'`)\]]*[^\s<>"'`)\].,;:!?*_]/g, (m) => link(m[0], [m[0]])),
];

/** Nodes and strings. Deeper than anybody writes, text stays as it is. */
function inline(text, depth = 0, kinds = [...TEXT, ...LINKS]) {
  if (depth > MOST_DEPTH) return [text];
  const parts = [];
  const seekers = kinds.map((kind) => ({ seek: kind(text, depth), next: undefined })); // next: null when none is left
  let at = 0;
  for (;;) {
    let best = null;
    for (const seeker of seekers) {
      if (seeker.next === undefined || seeker.next?.index < at) seeker.next = seeker.seek(at);
      if (seeker.next && (!best || seeker.next.index < best.index)) best = seeker.next;
    }
    if (!best) return [...parts, text.slice(at)];
    parts.push(text.slice(at, best.index), best.node());
    at = best.end;
  }
}

function pattern(regexp, build) {
  return (text, depth) => (at) => {
    const match = matchFrom(regexp, text, at);
    return match && { index: match.index, end: match.index + match[0].length, node: () => build(match, depth) };
  };
}

/** From `open` to the first `close`: if the first `open` has none, no later one has. Both are two characters long. */
function pair(open, close, tag) {
  return (text, depth) => {
    let end; // the first `close` after an earlier `open`: it may serve this one too
    return (at) => {
      const begin = matchFrom(open, text, at);
      if (begin && !(end?.index >= begin.index + 3)) end = matchFrom(close, text, begin.index + 3);
      if (!begin || !end) return null;
      const [from, upto] = [begin.index + 2, end.index];
      return { index: begin.index, end: upto + 2, node: () => put(make(tag), inline(text.slice(from, upto), depth + 1)) };
    };
  };
}

/** From some backticks to exactly as many. Without those there is no other run of that length: each fails once. */
function code(text) {
  return (at) => {
    for (let begin; (begin = matchFrom(/(?<!`)`+/g, text, at)); at = begin.index + begin[0].length) {
      const [ticks] = begin;
      const from = begin.index + ticks.length;
      const end = matchFrom(new RegExp(`(?<!\`)${ticks}(?!\`)`, "g"), text, from);
      if (!end) continue;
      const inner = text.slice(from, end.index).replace(/^ (?=.*[^ ])(.*) $/s, "$1");
      return { index: begin.index, end: end.index + ticks.length, node: () => make("code", {}, inner) };
    }
    return null;
  };
}

function matchFrom(regexp, text, at) {
  regexp.lastIndex = at;
  return regexp.exec(text);
}

function link(address, children) {
  return put(make("a", { href: address, rel: "noopener noreferrer nofollow", target: "_blank" }), children);
}
