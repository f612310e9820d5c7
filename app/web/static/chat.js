// The chat page: what is typed goes out, what happens comes in.

import { byId, make, texts as readTexts } from "./dom.js";
import { Feed } from "./feed.js";
import { Talk } from "./talk.js";

const texts = readTexts();
const sessionId = byId("contenido").dataset.session;
const [scroller, form, box, send, stop, state, trouble, welcome] =
  ["scroller", "composer", "text", "send", "stop", "state", "trouble", "welcome"].map(byId);
const draft = { name: `draft:${sessionId}`, key: null };
const talk = new Talk(byId("talk"), texts, {
  decide: (seq, decision) => act(`/api/v1/approvals/${sessionId}/${seq}`, { decision }),
  retry: () => act(`/api/v1/sessions/${sessionId}/retry`, {}),
});
let working = false;

// ---------------------------------------------------------------- in

const feed = new Feed(sessionId, {
  line: (line) => talk.add(line),
  delta: (text) => talk.delta(text),
  reset: () => talk.reset(),
  working: () => setWorking(true),
  idle: () => setWorking(false),
  status: (text) => say(text),
  online: (yes) => {
    state.classList.toggle("offline", !yes);
    say(yes ? "" : texts.offline);
    if (yes) welcome.hidden = true;
  },
  out: () => complain(texts.sessionOver, make("a", { href: `/login?a=${location.pathname}` }, texts.logIn)),
});

function setWorking(yes) {
  working = yes;
  stop.hidden = !yes;
  if (!yes) talk.reset();
  say("");
  welcome.hidden = yes || !talk.isEmpty;
}

function say(text) {
  state.textContent = text || (working ? texts.working : "");
  state.classList.toggle("busy", working);
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
  if (response.status === 401) throw new Refusal(texts.sessionOver, make("a", { href: "/login" }, texts.logIn));
  if (!response.ok) throw new Refusal(answer.error ?? texts.notSent);
  return answer;
}

class Refusal extends Error {
  constructor(message, extra = "") {
    super(message);
    this.extra = extra;
  }
}

async function act(address, body) {
  try {
    complain("");
    return await post(address, body);
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
  if (text === "/nuevo") {
    keepDraft("");
    location.assign("/");
    return;
  }
  send.disabled = true;
  draft.key ??= randomKey(); // the same text sent again after a lost answer is the same message
  following = true;
  try {
    complain("");
    const { id } = await post("/api/v1/chat", { text, session_id: sessionId }, { "Idempotency-Key": draft.key });
    if (!text.startsWith("/")) talk.add({ type: "user", seq: id, ts: Date.now() / 1000, content: text });
    history.replaceState(null, "", `/?sesion=${sessionId}`);
    box.value = "";
    keepDraft("");
  } catch (error) {
    complain(error instanceof Refusal ? error.message : texts.notSent, error.extra);
  } finally {
    send.disabled = false;
    fit();
  }
}

const randomKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");

function keepDraft(text) {
  draft.key = null;
  if (text) sessionStorage.setItem(draft.name, text);
  else sessionStorage.removeItem(draft.name);
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

box.value ||= sessionStorage.getItem(draft.name) ?? ""; // what was typed while this script was on its way stays
send.disabled = false;
fit();
feed.open();
