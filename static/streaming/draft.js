// What is written but not sent is kept in the browser, for each account and conversation.

const PREFIX = "chatstream.draft";

export class Draft {
  #owner;
  #key;

  constructor(owner, conversationId) {
    this.#owner = owner;
    this.#key = this.#keyOf(conversationId);
  }

  get text() {
    try {
      return localStorage.getItem(this.#key) ?? "";
    } catch {
      return ""; // storage may be switched off
    }
  }

  set text(text) {
    try {
      if (text.trim()) localStorage.setItem(this.#key, text);
      else localStorage.removeItem(this.#key);
    } catch {
      // Switched off or full: the draft lives as long as the page.
    }
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
}
