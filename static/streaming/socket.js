// A WebSocket: JSON in and out, and another attempt, ever later, when it is lost.
// It knows nothing of what the events mean.

const FIRST_DELAY = 500;
const MAX_DELAY = 15_000;
const REFUSED = [4401, 4403]; // trying again would change nothing

export class Socket {
  #url;
  #handlers;
  #socket = null;
  #failures = 0;
  #timer = null;

  // handlers: onEvent(event), onState("lost" | "refused")
  constructor(path, handlers) {
    this.#url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
    this.#handlers = handlers;
    window.addEventListener("online", () => this.#hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
  }

  connect() {
    this.close();
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.addEventListener("message", (message) => this.#receive(socket, message));
    socket.addEventListener("close", (close) => this.#closed(socket, close));
  }

  // False when the socket is not open: what matters is sent again after the next greeting.
  send(event) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(event));
    return true;
  }

  // For good, until `connect` is called again.
  close() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  // The server has answered as it should: the next loss is a first one.
  settled() {
    this.#failures = 0;
  }

  #receive(socket, message) {
    if (socket === this.#socket) this.#handlers.onEvent(JSON.parse(message.data));
  }

  #closed(socket, close) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    if (REFUSED.includes(close.code)) {
      this.#handlers.onState("refused");
      return;
    }
    this.#handlers.onState("lost");
    const delay = Math.min(MAX_DELAY, FIRST_DELAY * 2 ** this.#failures++);
    this.#timer = setTimeout(() => this.connect(), delay * (0.5 + Math.random() / 2));
  }

  // The network is back, or somebody looks: do not wait out the delay.
  #hurry() {
    if (this.#timer !== null) this.connect();
  }
}

// crypto.randomUUID exists in secure contexts only; plain HTTP in a home network is none.
export function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
