// The same account's other tabs in this browser: what is asked in one is seen in all.

export class Tabs {
  #channel = null;

  // owner: whose tabs; onNews(news): called with what another one tells
  constructor(owner, onNews) {
    if (!globalThis.BroadcastChannel) return; // they see it when they are looked at
    this.#channel = new BroadcastChannel(`chatstream.${owner}`);
    this.#channel.addEventListener("message", ({ data }) => onNews(data));
  }

  tell(news) {
    this.#channel?.postMessage(news);
  }
}
