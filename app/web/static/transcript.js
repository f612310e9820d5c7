// The transcript page: a whole conversation, read once.

import { byId, make, texts as readTexts } from "./dom.js";
import { Talk } from "./talk.js";

const texts = readTexts();
const root = byId("talk");
const talk = new Talk(root, texts);

try {
  const response = await fetch(`/api/sessions/${byId("contenido").dataset.session}`);
  if (!response.ok) throw new Error(String(response.status));
  for (const line of (await response.json()).lines) talk.add(line);
  if (!root.children.length) root.append(make("p", { class: "empty" }, texts.empty));
} catch {
  byId("trouble").textContent = texts.cannotLoad;
  byId("trouble").hidden = false;
}
