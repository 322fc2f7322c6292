// The dots of conversations in which something waits or runs, or has just been answered.
//
// The chat page tells of its own by the event `conversation-state` {id, state} on `document`
// (state: "waiting", "running", "ready" or ""); of others the server is asked while there are any.

import { get, Refused } from "../shared/request.js";

const SOON = 1_500; // ms
const AGAIN = 10_000;

const WORDS = {
  waiting: gettext("Waiting"),
  running: gettext("Being answered"),
  ready: gettext("New answer"),
};

export class States {
  #list;
  #timer;

  constructor(list) {
    this.#list = list;
    document.addEventListener("conversation-state", ({ detail }) => {
      const item = this.#list.item(detail.id);
      if (item) this.#show(item, detail.state);
      this.#lookIn(AGAIN);
    });
    document.addEventListener("visibilitychange", () => this.#lookIn(0));
    for (const type of ["conversation", "conversation-touched"]) {
      document.addEventListener(type, () => this.#lookIn(SOON));
    }
    this.#lookIn(AGAIN);
  }

  #show(item, state) {
    let dot = item.querySelector(".side-state");
    if (!dot) {
      dot = document.createElement("span");
      dot.className = "side-state";
      item.querySelector(".side-link").after(dot);
    }
    item.dataset.state = state;
    dot.textContent = WORDS[state] ?? "";
  }

  get #open() {
    return this.#list.items().filter(({ dataset }) => /^(waiting|running)$/.test(dataset.state));
  }

  #lookIn(delay) {
    clearTimeout(this.#timer);
    if (document.hidden || (delay !== SOON && !this.#open.length)) return;
    this.#timer = setTimeout(() => this.#look(), delay);
  }

  async #look() {
    try {
      const states = JSON.parse(await get("/conversations/states/"));
      for (const item of this.#open) {
        const isRead = item.querySelector(".side-link").hasAttribute("aria-current");
        if (!states[item.dataset.id]) this.#show(item, isRead ? "" : "ready");
      }
      for (const [id, state] of Object.entries(states)) {
        const item = this.#list.item(id);
        if (item) this.#show(item, state);
      }
    } catch (error) {
      if (!(error instanceof Refused)) throw error; // the page's socket tells of a lost server
    }
    this.#lookIn(AGAIN);
  }
}
