// The card in the place of an answer that waits: where it stands, how long that may take, and what
// its reader can do. It is loaded when somebody waits for the first time.

import * as attention from "./attention.js";
import * as words from "../shared/wait_words.js";

// page: as that of Waiting. Resolves to the card once it can be shown as it should look.
export async function load(page) {
  const template = document.getElementById("wait-card");
  const sheet = document.createElement("link");
  sheet.rel = "stylesheet";
  sheet.href = template.dataset.style;
  const isLoaded = new Promise((resolve, reject) => {
    sheet.addEventListener("load", resolve);
    sheet.addEventListener("error", reject);
  });
  document.head.append(sheet);
  try {
    await isLoaded;
  } catch (error) {
    sheet.remove();
    throw error;
  }
  return new WaitCard(template.content.firstElementChild.cloneNode(true), page);
}

class WaitCard {
  element;
  #answer = null;
  #way = null;
  #page;

  constructor(element, page) {
    this.element = element;
    this.#page = page;
    this.#find("withdraw").addEventListener("click", () => page.onWithdraw(this.#answer));
    this.#find("edit").addEventListener("click", () => page.onEdit(this.#answer));
    this.#find("tell").addEventListener("click", () => this.#toggleTelling());
  }

  // isBound: it cannot be withdrawn now
  show(answer, isOnline, isBound) {
    if (this.#answer !== answer) {
      this.#answer = answer;
      this.#way = new Way(answer.id);
    }
    const place = answer.view.find(".wait");
    if (place.nextElementSibling !== this.element) place.after(this.element);
    this.#write(answer.place, isOnline);
    this.#find("withdraw").disabled = isBound;
    this.#find("edit").hidden = !answer.mayEdit;
    this.#showTelling();
  }

  hide() {
    this.#answer = null;
    const hadFocus = this.element.contains(document.activeElement);
    this.element.remove();
    if (hadFocus) this.#page.composer.rest();
  }

  #write(place, isOnline) {
    const trouble = isOnline ? words.troubleText(place.service) : words.lostPlaceText();
    const state = !isOnline ? "lost" : place.service;
    if (this.element.dataset.service !== state) this.element.dataset.service = state;
    this.#say("number", words.numberText(place));
    this.#say("size", words.sizeText(place));
    this.#say("ahead", words.aheadText(place.position));
    this.#say("trouble", trouble);
    this.#say("eta", trouble ? "" : words.etaText(place));
    this.#say("kept", isOnline ? words.keptText(place.keptSeconds) : "");
    this.#find("way").value = this.#way.at(place, isOnline && !trouble);
  }

  #say(part, text) {
    const line = this.#find(part);
    line.hidden = !text;
    if (line.textContent !== text) line.textContent = text;
  }

  // --- being told ---

  #showTelling() {
    const tell = this.#find("tell");
    tell.hidden = !attention.canTell();
    tell.setAttribute("aria-pressed", String(attention.isTelling()));
  }

  async #toggleTelling() {
    const isRefused = !attention.isTelling() && !(await attention.askToTell());
    if (isRefused) this.#page.notice.show(words.notAllowedText());
    else if (attention.isTelling()) attention.tellNoMore();
    else attention.tell();
    this.#showTelling();
  }

  #find(part) {
    return this.element.querySelector(`.wait-${part}`);
  }
}

const KEY = "chatstream.way";
const MOST = 0.98; // it is at the front when the answer begins

// How far it has come from where it began to wait to the front, from 0 to 1: never backward, also
// over a reload.
class Way {
  #id;
  #begun = 0; // its first position
  #reached = 0;
  #position = null;
  #since = 0; // when it got that position, and the share of the wait that it stood for, in ms
  #expected = 0;

  constructor(id) {
    this.#id = id;
    try {
      const { id: known, begun, reached } = JSON.parse(sessionStorage.getItem(KEY)) ?? {};
      if (known === id) [this.#begun, this.#reached] = [begun, reached];
    } catch {
      // Switched off or damaged: it begins here.
    }
  }

  // isMoving: somebody is begun now and then; else time brings it no further
  at({ position, startsAt }, isMoving) {
    const now = Date.now();
    this.#begun = Math.max(this.#begun, position);
    if (position !== this.#position || !isMoving) {
      this.#position = position;
      this.#since = now;
      this.#expected = isMoving && startsAt ? (startsAt - now) / position : 0;
    }
    const within = this.#expected > 0 ? Math.min(0.95, (now - this.#since) / this.#expected) : 0;
    const way = (this.#begun - position + within) / this.#begun;
    const reached = Math.min(MOST, Math.max(this.#reached, way));
    if (reached > this.#reached) this.#keep(reached);
    return this.#reached;
  }

  #keep(reached) {
    this.#reached = reached;
    try {
      const kept = { id: this.#id, begun: this.#begun, reached };
      sessionStorage.setItem(KEY, JSON.stringify(kept));
    } catch {
      // Switched off: it lives as long as the page.
    }
  }
}
