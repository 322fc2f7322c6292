// What is written but not sent is kept in the browser, for each account and conversation.
//
// A tab keeps its own, so that two new chats do not write over each other's. When it is closed or
// left, it leaves the draft behind, and the next tab at the same place takes it up.

const PREFIX = "chatstream.draft";

export class Draft {
  #owner;
  #key;

  constructor(owner, conversationId) {
    this.#owner = owner;
    this.#key = this.#keyOf(conversationId);
    this.#takeUp();
    window.addEventListener("pagehide", () => this.#leave());
    window.addEventListener("pageshow", ({ persisted }) => persisted && this.#takeUp());
  }

  get text() {
    return attempt(() => sessionStorage.getItem(this.#key)) ?? "";
  }

  set text(text) {
    attempt(() => {
      if (text.trim()) sessionStorage.setItem(this.#key, text);
      else sessionStorage.removeItem(this.#key);
    });
  }

  // A new conversation has its id.
  move(conversationId) {
    const { text } = this;
    this.text = "";
    this.#key = this.#keyOf(conversationId);
    if (text) this.text = text;
  }

  #keyOf(conversationId) {
    return `${PREFIX}.${this.#owner}.${conversationId ?? "new"}`;
  }

  #leave() {
    const { text } = this;
    if (text) attempt(() => localStorage.setItem(this.#key, text));
  }

  // What this tab left itself, by a reload say, it has already.
  #takeUp() {
    const left = attempt(() => localStorage.getItem(this.#key));
    if (!left) return;
    attempt(() => localStorage.removeItem(this.#key));
    if (!this.text) this.text = left;
  }
}

// Storage may be switched off or full: then a draft lives as long as the page.
function attempt(work) {
  try {
    return work();
  } catch {
    return undefined;
  }
}
