// The session's events with a cursor: whatever happens to the connection, no line is missed and none comes twice.

const KINDS = ["working", "idle", "delta", "reset", "status"];
const LONGEST_WAIT = 15_000; // ms between tries
const HIDDEN_FOR = 60_000; // ms until a hidden page lets go: browsers allow six connections per server

export class Feed {
  /** `show`: {line(line), working(), idle(), delta(text), reset(), status(text), online(bool), out()}. */
  constructor(sessionId, show) {
    this.sessionId = sessionId;
    this.show = show;
    this.cursor = 0;
    this.tries = 0;
    document.addEventListener("visibilitychange", () => this.#seen());
    window.addEventListener("online", () => this.open());
    window.addEventListener("pagehide", () => this.close());
    window.addEventListener("pageshow", (event) => event.persisted && this.open());
  }

  open() {
    this.close();
    const query = new URLSearchParams({ session_id: this.sessionId, cursor: this.cursor });
    const source = (this.source = new EventSource(`/api/v1/events?${query}`));
    source.onopen = () => {
      this.tries = 0;
      this.show.online(true);
    };
    source.onerror = () => this.#broken(source);
    source.addEventListener("line", (event) => {
      this.cursor = Number(event.lastEventId);
      this.show.line(JSON.parse(event.data));
    });
    for (const kind of KINDS) source.addEventListener(kind, (event) => this.show[kind](JSON.parse(event.data).text));
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  /** The browser gives up for good on some answers (401, 503): then we try, ever more slowly. */
  async #broken(source) {
    if (source !== this.source) return;
    this.show.online(false);
    if (source.readyState !== EventSource.CLOSED) return;
    this.close();
    if (await loggedOut()) return this.show.out();
    const wait = Math.min(1_000 * 2 ** this.tries++, LONGEST_WAIT);
    this.timer = setTimeout(() => this.open(), wait);
  }

  #seen() {
    clearTimeout(this.hiding);
    if (document.hidden) this.hiding = setTimeout(() => this.close(), HIDDEN_FOR);
    else if (!this.source) this.open();
  }
}

async function loggedOut() {
  try {
    return (await fetch("/api/sessions/x", { method: "HEAD" })).status === 401;
  } catch {
    return false;
  }
}
