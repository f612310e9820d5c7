// A conversation drawn from its log lines, in the order of their numbers, whatever order they arrive in.

import { fill, make } from "./dom.js";
import { markdown } from "./markdown.js";
import { questionButtons, verdictOf } from "./question.js";
import { ToolCard } from "./tools.js";

const time = new Intl.DateTimeFormat("es", { dateStyle: "medium", timeStyle: "short" });
const count = new Intl.NumberFormat("es");
const dollars = new Intl.NumberFormat("es", { minimumFractionDigits: 4, maximumFractionDigits: 4 });

export class Talk {
  /** `actions`: {decide(seq, {decision, reason}), retry(), undo(seq, answer)}; null in a transcript, where nothing can be pressed. */
  constructor(root, texts, actions = null) {
    this.root = root;
    this.texts = texts;
    this.actions = actions;
    this.seen = new Set();
    this.tools = new Map(); // call id → card
    this.questions = new Map(); // seq → element
    this.offers = new Map(); // seq → the buttons of an offer to undo
    this.spent = new Map(); // turn → {input, output, cached, usd}
    this.preview = null;
    this.streamed = "";
  }

  get isEmpty() {
    return this.seen.size === 0 && !this.preview;
  }

  get isAsking() {
    return this.questions.size > 0;
  }

  /** Draws a line once. */
  add(line) {
    if (this.seen.has(line.seq)) return;
    this.seen.add(line.seq);
    if (line.usage) this.#count(line);
    this[`_${line.type}`]?.(line);
  }

  // ---------------------------------------------------------------- what streams

  delta(text) {
    this.streamed += text;
    if (!this.preview) {
      this.preview = make("article", { class: "bubble answer streaming", "aria-label": this.texts.nanobot, "aria-live": "off", "aria-busy": "true" });
      this.root.append(this.preview);
    }
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.preview?.replaceChildren(markdown(this.streamed));
      this.root.dispatchEvent(new Event("grown"));
    });
  }

  reset() {
    this.streamed = "";
    this.preview?.remove();
    this.preview = null;
  }

  // ---------------------------------------------------------------- one method per kind of line

  _user(line) {
    this.#place(line, make("article", { class: "bubble mine", "aria-label": this.texts.you }, make("p", {}, line.content ?? ""), this.#stamp(line)));
  }

  _command(line) {
    const pressed = /^(\d+) /.exec(line.argument ?? "");
    if (line.name === "deshacer" && pressed) return this.offers.get(Number(pressed[1]))?.remove();
    this.#place(line, make("p", { class: "note mine" }, `/${line.name} ${line.argument ?? ""}`.trim()));
  }

  _reply(line) {
    this.#place(line, make("article", { class: "bubble notice", "aria-label": this.texts.nanobot }, markdown(line.content ?? ""), this.#undo(line)));
  }

  _assistant(line) {
    this.reset();
    this.#closeQuestions();
    this.root.querySelectorAll("button.retry").forEach((button) => button.remove());
    if (line.content) {
      const kind = `bubble answer${line.failed ? " failed" : ""}`;
      const bubble = make("article", { class: kind, "aria-label": this.texts.nanobot }, markdown(line.content));
      if (line.failed && this.actions) bubble.append(make("button", { class: "retry", type: "button", onclick: () => this.actions.retry() }, this.texts.retry));
      this.#place(line, bubble);
    }
    for (const [index, call] of (line.tool_calls ?? []).entries()) {
      const card = new ToolCard(call, this.texts);
      this.tools.set(call.id, card);
      this.#place({ seq: line.seq + (index + 1) / 1000 }, card.node);
    }
    if (line.final) {
      this.tools.forEach((card) => card.end());
      this.#place({ seq: line.seq + 0.9 }, this.#footer(line));
      const undo = this.#undo(line);
      if (undo) this.#place({ seq: line.seq + 0.95 }, undo);
    }
  }

  _tool_started(line) {
    this.tools.get(line.call_id)?.started();
  }

  _tool_result(line) {
    this.tools.get(line.call_id)?.finished(line);
  }

  _approval_asked(line) {
    const buttons = this.actions && questionButtons(line, this.texts, (answer) => this.actions.decide(line.seq, answer));
    const about = { class: "bubble question", "aria-label": this.texts.asks };
    const card = make("article", about, markdown(line.question), buttons);
    this.questions.set(line.seq, card);
    this.#place(line, card);
  }

  _approval_given(line) {
    this.#answer(line.asked, verdictOf(line, this.texts), line.decision);
  }

  _summary(line) {
    const body = make("div", {}, markdown(line.content));
    this.#place(line, make("details", { class: "note summary" }, make("summary", {}, this.texts.summary), body));
  }

  _project(line) {
    const name = line.path.split(/[\\/]/).filter(Boolean).pop() ?? line.path;
    this.#place(line, make("p", { class: "note", title: line.path }, fill(this.texts.project, { name })));
  }

  _retry(line) {
    this.root.querySelectorAll("button.retry").forEach((button) => button.remove());
    this.#place(line, make("p", { class: "note" }, this.texts.retried));
  }

  // ---------------------------------------------------------------- small parts

  #place(line, node) {
    node.dataset.seq = line.seq;
    let before = this.preview;
    let last = before ? before.previousElementSibling : this.root.lastElementChild;
    while (last && Number(last.dataset.seq) > line.seq) {
      before = last;
      last = last.previousElementSibling;
    }
    this.root.insertBefore(node, before);
    this.root.dispatchEvent(new Event("grown"));
  }

  #closeQuestions() {
    for (const seq of [...this.questions.keys()]) this.#answer(seq, this.texts.skipped, "skipped");
  }

  #answer(seq, text, decision) {
    const card = this.questions.get(seq);
    this.questions.delete(seq);
    if (!card) return;
    const verdict = make("p", { class: `verdict ${decision}`, tabindex: "-1" }, text);
    card.append(verdict);
    if (card.contains(document.activeElement)) verdict.focus({ preventScroll: true });
    card.querySelector(".buttons")?.remove();
  }

  /** The buttons of an offer to undo; gone once one is pressed. */
  #undo(line) {
    if (!line.undo || !this.actions) return null;
    const { kind, files, redo } = line.undo;
    const press = (answer) => () => this.actions.undo(line.seq, answer);
    const count = files > 1 ? fill(this.texts.undoFiles, { count: files }) : this.texts.undo;
    const label = kind === "look" ? count : redo ? this.texts.redo : this.texts.undo;
    const row = make("div", { class: "buttons" }, make("button", { type: "button", class: "undo", onclick: press("yes") }, label));
    if (kind === "undo") row.append(make("button", { type: "button", class: "deny", onclick: press("no") }, this.texts.cancel));
    this.offers.set(line.seq, row);
    return row;
  }

  #stamp(line) {
    const when = new Date(line.ts * 1000);
    return line.ts && !Number.isNaN(when.getTime()) ? make("time", { datetime: when.toISOString() }, time.format(when)) : null;
  }

  #count(line) {
    const sum = this.spent.get(line.turn) ?? { input: 0, output: 0, cached: 0, usd: 0 };
    for (const name of Object.keys(sum)) sum[name] += line.usage[name] ?? 0;
    this.spent.set(line.turn, sum);
  }

  #footer(line) {
    const sum = this.spent.get(line.turn);
    const parts = line.model ? [line.model] : [];
    if (sum) {
      parts.push(fill(this.texts.tokens, { input: count.format(sum.input), output: count.format(sum.output) }));
      if (sum.cached) parts.push(fill(this.texts.cached, { count: count.format(sum.cached) }));
      if (sum.usd) parts.push(`${dollars.format(sum.usd)} $`);
    }
    return make("footer", { class: "cost" }, parts.join(" · "));
  }
}
