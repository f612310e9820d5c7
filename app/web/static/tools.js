// One tool call as it happens: pending, running, done. Closed it is one line; open it shows arguments and result.

import { make } from "./dom.js";

const MOST_SHORT = 120;

export class ToolCard {
  constructor(call, texts) {
    this.texts = texts;
    const given = parsed(call.arguments);
    this.state = make("span", { class: "tool-state" }, texts.waiting);
    this.body = make("div", { class: "tool-body" });
    if (Object.keys(given).length) this.body.append(make("h4", {}, texts.arguments), ...Object.entries(given).map(argument));
    const line = make(
      "summary", {},
      make("span", { class: "tool-name" }, call.name), " ",
      make("span", { class: "tool-short" }, short(given)), " ", this.state,
    );
    this.node = make("details", { class: "tool waiting" }, line, this.body);
  }

  started() {
    this.#show("running", this.texts.running);
  }

  finished(line) {
    const seconds = line.ms >= 100 ? ` · ${(line.ms / 1000).toLocaleString("es", { maximumFractionDigits: 1 })} s` : "";
    this.#show(line.is_error ? "failed" : "done", (line.is_error ? this.texts.failed : this.texts.done) + seconds);
    const text = line.content || this.texts.noOutput;
    this.body.append(make("h4", {}, this.texts.result), make("pre", { tabindex: "0" }, text));
  }

  /** The turn is over: what has no result will get none. */
  end() {
    if (this.node.matches(".waiting, .running")) this.#show("interrupted", this.texts.interrupted);
  }

  #show(state, text) {
    this.node.className = `tool ${state}`;
    this.state.textContent = text;
  }
}

/** The arguments as the model wrote them: JSON, or whatever it is. */
function parsed(text) {
  try {
    const value = JSON.parse(text || "{}");
    return value && typeof value === "object" && !Array.isArray(value) ? value : { "": value };
  } catch {
    return { "": text };
  }
}

const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 1));

function argument([name, value]) {
  return make("div", { class: "argument" }, name ? make("span", { class: "argument-name" }, name) : null, make("pre", { tabindex: "0" }, shown(value)));
}

function short(given) {
  const text = Object.values(given).map(shown).join("  ").replace(/\s+/g, " ").trim();
  return text.length > MOST_SHORT ? `${text.slice(0, MOST_SHORT)}…` : text;
}
