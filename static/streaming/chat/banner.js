// The queue banner. It speaks for a prompt that waits alone, right above it. Where several wait, or
// something else stands between, each has a line and a Cancel of its own.

import { manyWaitText } from "../shared/words.js";

export class Banner {
  #element = document.getElementById("queue-banner");
  #button = document.getElementById("withdraw");
  #text = this.#element.querySelector(".banner-text");
  #shown = { waiting: [], isOnline: false };

  constructor(onWithdraw) {
    this.#button.addEventListener("click", () => onWithdraw(this.#shown.waiting[0]));
    // The ETA counts down between the server's words, while there are any.
    setInterval(() => {
      if (this.#shown.isOnline && this.#shown.waiting[0]?.etaText()) this.#write();
    }, 1000);
  }

  // waiting: the answers that wait, in their order; isAlone: there is one, at the page's end
  show(waiting, { isOnline, isAlone }) {
    const [first] = waiting;
    this.#shown = { waiting, isOnline };
    this.#element.hidden = !first;
    for (const answer of waiting) {
      const isBound = !isOnline && answer.sent; // only the server could take it back
      answer.showWait(isAlone ? "" : answer.placeText(isOnline, answer !== first), isBound);
    }
    if (!first) return;
    this.#element.dataset.service = first.place?.service ?? "";
    this.#button.hidden = waiting.length > 1;
    this.#button.disabled = !isOnline && first.sent;
    this.#write();
  }

  #write() {
    const { waiting, isOnline } = this.#shown;
    const [first] = waiting;
    const isMany = waiting.length > 1;
    const many = isMany ? manyWaitText(waiting.length) : "";
    const place = isMany && first.isHeld ? "" : first.placeText(isOnline);
    const eta = isOnline ? first.etaText() : "";
    const text = [many, place, eta].filter(Boolean).join(" · ");
    if (this.#text.textContent !== text) this.#text.textContent = text;
  }
}
