// A WebSocket: JSON in and out, and another attempt, ever later, when it is lost.
// It knows nothing of what the events mean.
//
// A browser does not say that a connection died while the machine slept or changed its network,
// nor that a proxy forwards no more. So a new one is made when the network is back, after a sleep,
// when somebody looks again after a long silence, and when what must be answered is not: above all
// the ping that follows whenever nothing has come for a while.

import { wellFormed } from "./text.js";

const FIRST_DELAY = 500;
const MAX_DELAY = 15_000;
const REFUSED = [4401, 4403]; // trying again would change nothing
const SILENCE = 45_000; // without any event, and nobody looked: not to be trusted
const QUIET = 10_000; // without any event: is anybody there? And again after as long
const MISSED = 2; // so many pings without an answer, and the connection is dead
const GREETING = 45_000; // a crowd is greeted in turn, or refused
const REPLY = 10_000; // within which the server answers what it has to answer
const BEAT = 5_000; // a timer that is late by more than SLEEP was asleep
const SLEEP = 20_000;

export class Socket {
  #url;
  #handlers;
  #socket = null;
  #failures = 0;
  #timer = null;
  #replyTimer = null;
  #quietTimer = null;
  #heardAt = 0;
  #beatAt = Date.now();

  // handlers: onEvent(event), onState("lost" | "refused", close code)
  constructor(path, handlers) {
    this.#url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
    this.#handlers = handlers;
    window.addEventListener("online", () => this.reopen());
    window.addEventListener("offline", () => this.reopen());
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
    setInterval(() => this.#beat(), BEAT);
  }

  connect() {
    this.close();
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#heardAt = Date.now();
    this.#quietTimer = setTimeout(() => this.reopen(), GREETING);
    socket.addEventListener("message", (message) => this.#receive(socket, message));
    socket.addEventListener("close", (close) => this.#closed(socket, close.code));
  }

  // False when the socket is not open: what matters is sent again after the next greeting.
  // `expectsReply`: if nothing comes back soon, the connection is dead.
  send(event, expectsReply = false) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(event, wellFormedTexts));
    if (expectsReply) this.#replyTimer ??= setTimeout(() => this.reopen(), REPLY);
    return true;
  }

  // For good, until `connect` is called again.
  close() {
    clearTimeout(this.#timer);
    clearTimeout(this.#replyTimer);
    clearTimeout(this.#quietTimer);
    this.#timer = this.#replyTimer = null;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  // Give up a connection that may be dead, and make a new one at once.
  reopen() {
    if (this.#socket === null && this.#timer === null) return; // closed for good
    const wasOpen = this.#socket?.readyState === WebSocket.OPEN;
    this.close();
    if (wasOpen) this.#handlers.onState("lost", 0);
    this.connect();
  }

  // The server has answered as it should: the next loss is a first one.
  settled() {
    this.#failures = 0;
  }

  #receive(socket, message) {
    if (socket !== this.#socket) return;
    this.#heardAt = Date.now();
    clearTimeout(this.#replyTimer);
    this.#replyTimer = null;
    this.#listen();
    const event = JSON.parse(message.data);
    if (event.type !== "chatstream:pong") this.#handlers.onEvent(event);
  }

  // A timer that an event begins runs in a hidden page, too; one that repeats itself does not.
  #listen(missed = 0) {
    clearTimeout(this.#quietTimer);
    this.#quietTimer = setTimeout(() => {
      if (missed === MISSED) this.reopen();
      else if (this.send({ type: "chatstream:ping" })) this.#listen(missed + 1);
    }, QUIET);
  }

  #closed(socket, code) {
    if (socket !== this.#socket) return;
    this.close();
    if (REFUSED.includes(code)) {
      this.#handlers.onState("refused", code);
      return;
    }
    this.#handlers.onState("lost", code);
    const delay = Math.min(MAX_DELAY, FIRST_DELAY * 2 ** this.#failures++);
    this.#timer = setTimeout(() => this.connect(), delay * (0.5 + Math.random() / 2));
  }

  // Somebody looks: do not wait out the delay, and do not trust a long silence.
  #hurry() {
    if (this.#timer !== null) this.connect();
    else if (Date.now() - this.#heardAt > SILENCE) this.reopen();
  }

  #beat() {
    const late = Date.now() - this.#beatAt - BEAT;
    this.#beatAt = Date.now();
    // In a hidden page timers are late without any sleep; it is looked after when it shows.
    if (late > SLEEP && !document.hidden) this.reopen();
  }
}

// A frame with half a character in it could not be read at all.
const wellFormedTexts = (_, value) => (typeof value === "string" ? wellFormed(value) : value);

// crypto.randomUUID exists in secure contexts only; plain HTTP in a home network is none.
export function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
