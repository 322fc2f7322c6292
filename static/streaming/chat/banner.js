// The queue banner above the message box: it speaks for what waits while that is out of sight.

import { etaText, manyWaitText, stateText } from "../shared/wait_words.js";

export class Banner {
  #element = document.getElementById("queue-banner");
  #button = document.getElementById("withdraw");
  #text = this.#element.querySelector(".banner-text");
  #first = null;

  constructor(onWithdraw) {
    this.#button.addEventListener("click", () => onWithdraw(this.#first));
  }

  // waiting: the answers that wait, in their order; isInSight: what is said of the first one is
  show(waiting, { isOnline, isInSight }) {
    const [first] = waiting;
    this.#first = first;
    this.#element.hidden = !first || isInSight;
    if (!first) return;
    this.#element.dataset.service = first.place?.service ?? "";
    this.#button.hidden = waiting.length > 1;
    this.#button.disabled = !isOnline && !first.state.is("draft");
    this.#write(waiting, isOnline);
  }

  #write(waiting, isOnline) {
    const [first] = waiting;
    const isMany = waiting.length > 1;
    const many = isMany ? manyWaitText(waiting.length) : "";
    const place = isMany && first.place?.isHeld ? "" : stateText(first, isOnline);
    const eta = isOnline && first.place ? etaText(first.place) : "";
    const text = [many, place, eta].filter(Boolean).join(" · ");
    if (this.#text.textContent !== text) this.#text.textContent = text;
  }
}
