// The other paths through the conversation, its earlier turns, and what another tab added.

import { Answer } from "./answer.js";
import * as server from "./server.js";
import { TurnView } from "./turn_view.js";
import { chosenBy } from "./versions.js";
import * as words from "../shared/words.js";

export class Branches {
  conversationId;
  #onBranch; // the reader chose another branch than the newest
  #newestId; // the newest response that this page knows of
  #turns;
  #scroll;
  #notice;
  #onShown;
  #onGone;

  // config: the page's; onShown: called when other turns are on the page; onGone: when the
  // conversation is no longer there, or somebody else's
  constructor({ config, turns, scroll, notice, onShown, onGone }) {
    this.conversationId = config.conversation_id;
    this.#onBranch = config.on_branch;
    this.#newestId = turns.element.dataset.newest;
    this.#turns = turns;
    this.#scroll = scroll;
    this.#notice = notice;
    this.#onShown = onShown;
    this.#onGone = onGone;
  }

  // Takes up the turns that the server rendered.
  adopt(element) {
    return [...element.querySelectorAll(".turn")].map((turn) => {
      const answer = new Answer(new TurnView(turn));
      answer.content.scrollBy(this.#scroll);
      return answer;
    });
  }

  // The server has this response of ours.
  added(id) {
    this.#newestId = id;
  }

  // A prompt was sent: what is shown is the newest branch from now on.
  leave() {
    if (this.#onBranch && this.conversationId) this.#setAddress("");
    this.#onBranch = false;
  }

  // Shows another version of the prompt or of the answer, where the button stands: the next (step
  // 1) or the one before (step -1).
  async choose(answer, button, step) {
    const version = chosenBy(button, answer.view, answer.id, step);
    if (!version) return;
    const { kind } = button.closest(".versions").dataset;
    const top = this.#scroll.topOf(answer.view.element);
    if (!(await this.#show({ leaf: version.id }))) return;
    const chosen = this.#turns.get(version.id);
    if (!chosen) return;
    this.#scroll.place(chosen.view.element, top);
    const same = `.versions[data-kind="${kind}"] ${step < 0 ? ".older" : ".newer"}`;
    chosen.view.find(same)?.focus({ preventScroll: true });
    this.#notice.announce(words.versionText(version.index + 1, version.count));
  }

  async showEarlier(button) {
    const before = this.#turns.all[0]?.id;
    const leaf = this.#turns.last?.id;
    button.disabled = true;
    const element = before ? await this.#load({ before, leaf }) : null;
    button.disabled = false;
    if (!element || this.#turns.all[0]?.id !== before) return;
    const answers = this.adopt(element);
    this.#scroll.keep(() => {
      button.closest(".earlier").replaceWith(...element.childNodes);
      this.#turns.adopt(answers);
    });
    answers.at(-1)?.view.find(".copy-prompt").focus({ preventScroll: true });
  }

  // Another tab may have gone on with this conversation while nobody looked at this one.
  async lookForNews() {
    if (document.hidden || !this.conversationId || this.#onBranch || this.#isBusy) return;
    try {
      const found = await server.newest(this.conversationId);
      const isKnown = !found || found === this.#newestId || this.#turns.get(found);
      if (isKnown || this.#isBusy) return;
      if (await this.#show({})) this.#notice.announce(words.newMessagesText());
    } catch (error) {
      if (error instanceof server.Gone) this.#tellLoss(error); // else the socket tells of it
    }
  }

  get #isBusy() {
    return this.#turns.unsent.length > 0 || this.#turns.element.querySelector(".editor") !== null;
  }

  // Shows the turns that lead through a response, or to the newest one.
  async #show(query) {
    if (this.#turns.unsent.length) {
      this.#notice.show(words.unsentText());
      return false;
    }
    const element = await this.#load(query);
    if (!element || this.#turns.unsent.length) return false;
    this.#newestId = element.dataset.newest;
    this.#turns.replace(element, this.adopt(element));
    this.#onBranch = "leaf" in query;
    this.#setAddress(this.#onBranch ? `?leaf=${query.leaf}` : "");
    this.#onShown();
    return true;
  }

  async #load(query) {
    try {
      return await server.turns(this.conversationId, query);
    } catch (error) {
      this.#tellLoss(error);
      return null;
    }
  }

  #tellLoss(error) {
    if (error instanceof server.Gone) {
      this.#notice.showError({ code: "not_found" });
      this.#onGone();
    } else this.#notice.show(words.notLoadedText());
  }

  #setAddress(query) {
    history.replaceState(null, "", `/c/${this.conversationId}/${query}`);
  }
}
