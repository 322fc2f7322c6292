// The queue banner. It speaks for the first waiting prompt; the later ones have their own line.

import { heldText } from "./words.js";

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

  // waiting: the answers that wait, in their order
  show(waiting, isOnline) {
    const [first, ...others] = waiting;
    this.#shown = { waiting, isOnline };
    this.#element.hidden = !first;
    for (const answer of others) answer.showWait(heldText());
    if (!first) return;
    first.showWait("");
    this.#element.dataset.service = first.place?.service ?? "";
    this.#button.disabled = !isOnline && first.sent;
    this.#write();
  }

  #write() {
    const { waiting, isOnline } = this.#shown;
    const [first] = waiting;
    const parts = isOnline ? [first.placeText(), first.etaText()] : [first.lastPlaceText()];
    const text = parts.filter(Boolean).join(" · ");
    if (this.#text.textContent !== text) this.#text.textContent = text;
  }
}
