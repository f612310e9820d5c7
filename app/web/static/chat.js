// The chat page: what is typed goes out, what happens comes in.

import { byId, make, pageToken, texts as readTexts } from "./dom.js";
import { Feed } from "./feed.js";
import { Talk } from "./talk.js";

const texts = readTexts();
const sessionId = byId("contenido").dataset.session;
const [scroller, form, box, send, stop, state, trouble, welcome] =
  ["scroller", "composer", "text", "send", "stop", "state", "trouble", "welcome"].map(byId);
const draft = `draft:${sessionId}`;
const draftKey = `${draft}:key`;
const talk = new Talk(byId("talk"), texts, {
  decide: (seq, answer) => act(`/api/v1/approvals/${sessionId}/${seq}`, answer, { "X-Nanobot-Page": pageToken() }),
  undo: (line, answer) => act(`/api/v1/sessions/${sessionId}/undo`, { line, answer }),
  retry: () => act(`/api/v1/sessions/${sessionId}/retry`, {}),
});
let working = false;
let status = ""; // what the program says meanwhile: a pause, a retry
let online = true;

// ---------------------------------------------------------------- in

const feed = new Feed(sessionId, {
  line: (line) => {
    talk.add(line);
    showState();
  },
  delta: (text) => talk.delta(text),
  reset: () => talk.reset(),
  working: () => setWorking(true),
  idle: () => setWorking(false),
  status: (text) => {
    status = text;
    showState();
  },
  online: (yes) => {
    online = yes;
    showState();
    if (yes) welcome.hidden = true;
  },
  out: () => complain(texts.sessionOver, logIn()),
});

function setWorking(yes) {
  working = yes;
  status = "";
  if (!yes && document.activeElement === stop) box.focus(); // a focus that vanishes sends the keyboard to the top
  stop.hidden = !yes;
  if (!yes) talk.reset();
  showState();
  welcome.hidden = yes || !talk.isEmpty;
}

function showState() {
  const doing = talk.isAsking ? texts.asking : status || texts.working;
  const text = !online ? texts.offline : working ? doing : status;
  if (state.textContent !== text) state.textContent = text; // a screen reader reads it again when it is written again
  state.classList.toggle("offline", !online);
}

// The newest text stays in view, unless the reader has scrolled up.
let following = true;
scroller.addEventListener("scroll", () => {
  following = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 80;
});
byId("talk").addEventListener("grown", () => {
  welcome.hidden = true;
  if (following) scroller.scrollTop = scroller.scrollHeight;
});
new ResizeObserver(() => following && (scroller.scrollTop = scroller.scrollHeight)).observe(scroller);

// ---------------------------------------------------------------- out

async function post(address, body, headers = {}) {
  const response = await fetch(address, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  const answer = await response.json().catch(() => ({}));
  if (response.status === 401) throw new Refusal(texts.sessionOver, logIn());
  if (!response.ok) throw new Refusal(answer.error ?? texts.notSent);
  return answer;
}

const logIn = () => make("a", { href: `/login?a=${encodeURIComponent(`/?sesion=${sessionId}`)}` }, texts.logIn);

class Refusal extends Error {
  constructor(message, extra = "") {
    super(message);
    this.extra = extra;
  }
}

async function act(address, body, headers = {}) {
  try {
    complain("");
    return await post(address, body, headers);
  } catch (error) {
    complain(error instanceof Refusal ? error.message : texts.notSent, error.extra);
    return null;
  }
}

function complain(text, extra = "") {
  trouble.hidden = !text;
  trouble.replaceChildren(text, " ", extra);
}

async function submit() {
  const text = box.value.trim();
  if (!text || send.disabled) return;
  send.disabled = true;
  const key = sessionStorage.getItem(draftKey) ?? randomKey(); // the same text sent again after a lost answer
  sessionStorage.setItem(draftKey, key); // is the same message
  following = true;
  try {
    complain("");
    const body = { text, session_id: sessionId };
    const { id, session_id: place } = await post("/api/v1/chat", body, { "Idempotency-Key": key });
    if (!text.startsWith("/")) talk.add({ type: "user", seq: id, ts: Date.now() / 1000, content: text });
    box.value = "";
    keepDraft("");
    if (place !== sessionId) return location.assign(`/?sesion=${place}`); // /nuevo
    history.replaceState(null, "", `/?sesion=${sessionId}`);
  } catch (error) {
    complain(error instanceof Refusal ? error.message : texts.notSent, error.extra);
  } finally {
    send.disabled = false;
    fit();
  }
}

const randomKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");

function keepDraft(text) {
  sessionStorage.removeItem(draftKey);
  if (text) sessionStorage.setItem(draft, text);
  else sessionStorage.removeItem(draft);
}

function fit() {
  box.style.height = "auto";
  box.style.height = `${Math.min(box.scrollHeight + 2, window.innerHeight * 0.4)}px`;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
box.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    submit();
  }
});
box.addEventListener("input", () => {
  keepDraft(box.value);
  fit();
});
stop.addEventListener("click", () => act(`/api/v1/sessions/${sessionId}/stop`, {}));

const kept = sessionStorage.getItem(draft) ?? "";
if (box.value && box.value !== kept) keepDraft(box.value); // typed while this script was on its way
else box.value = kept;
send.disabled = false;
fit();
feed.open();
