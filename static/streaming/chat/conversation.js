// The conversation of the page, as the rest of the page is told of it: the side list, the other
// tabs, the title, and whoever looks elsewhere.

export class Conversation {
  #page;
  #state = "";
  #attention = null; // a promise of the module; it comes with the first answer

  // page: { branches, draft, settings, tabs, turns }
  constructor(page) {
    this.#page = page;
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.#state === "ready") this.#tellState("");
    });
  }

  // The server has taken a prompt to it, its first one if it had no id before.
  added(id, prompt) {
    const { branches, tabs } = this.#page;
    if (branches.conversationId) tell("conversation-touched", { id: branches.conversationId });
    else this.#begin(id, prompt);
    tabs.tell({ id });
  }

  #begin(id, prompt) {
    const { branches, draft, settings } = this.#page;
    branches.conversationId = id;
    settings.begun();
    draft.move(id);
    history.replaceState(null, "", `/c/${id}/`);
    const title = [...prompt.split(/\s+/).filter(Boolean).join(" ")].slice(0, 80).join("");
    document.title = `${title} · ChatStream`;
    document.querySelector("h1").textContent = title;
    tell("conversation", { id, title });
  }

  // Its answers are not where they were.
  refresh() {
    const { turns } = this.#page;
    const isOpen = turns.open.length > 0;
    if (isOpen) this.#attention ??= import("./attention.js").catch(() => (this.#attention = null));
    const isUnread = ["running", "ready"].includes(this.#state) && document.hidden;
    const isReady = !isOpen && isUnread && turns.last?.status !== "cancelled";
    this.#tellState(turns.running ? "running" : isOpen ? "waiting" : isReady ? "ready" : "");
  }

  // An answer begins, or is there: whoever looks elsewhere is called.
  async call(action, ...said) {
    (await this.#attention)?.[action](...said);
  }

  #tellState(state) {
    const { conversationId: id } = this.#page.branches;
    if (!id || state === this.#state) return;
    this.#state = state;
    tell("conversation-state", { id, state });
  }
}

// The side list listens.
export function tell(type, detail) {
  document.dispatchEvent(new CustomEvent(type, { detail }));
}
