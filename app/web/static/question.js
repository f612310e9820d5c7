// The buttons below a question, and what is said of it once it is decided.

import { fill, make } from "./dom.js";

/** `decide({decision, reason})` sends the answer. */
export function questionButtons(line, texts, decide) {
  const button = (kind, label, onclick) => make("button", { type: "button", class: kind, onclick }, label);
  const buttons = make("div", { class: "buttons" }, button("allow", texts.allow, () => decide({ decision: "allow" })));
  if (line.rule) buttons.append(button("always", texts.always, () => decide({ decision: "always" })));
  buttons.append(button("deny", texts.deny, () => decide({ decision: "deny" })));
  if (line.kind === "pay") return buttons; // no model hears of that refusal
  const why = whyNot(texts, (reason) => decide({ decision: "deny", reason }));
  const opener = button("deny why", texts.denyWhy, () => {
    why.hidden = !why.hidden;
    opener.setAttribute("aria-expanded", String(!why.hidden));
    if (!why.hidden) why.querySelector("textarea").focus();
  });
  opener.setAttribute("aria-expanded", "false");
  buttons.append(opener, why);
  return buttons;
}

function whyNot(texts, send) {
  const box = make("textarea", { rows: 2, maxlength: 2000, "aria-label": texts.why, placeholder: texts.why });
  const submit = (event) => {
    event.preventDefault();
    send(box.value.trim());
  };
  const form = make("form", { class: "why-not", hidden: true, onsubmit: submit }, box, make("button", { class: "deny" }, texts.deny));
  return form;
}

export function verdictOf(line, texts) {
  if (line.reason) return fill(texts.deniedWhy, { reason: line.reason });
  if (line.always) return texts.allowedAlways;
  return { allow: texts.allowed, deny: texts.denied, skipped: texts.skipped, expired: texts.expired }[line.decision] ?? line.decision;
}
