// The queue banner. It speaks for the first waiting prompt; the later ones have their own line.

import { heldText } from "./words.js";

export class Banner {
  #element = document.getElementById("queue-banner");
  #button = document.getElementById("withdraw");
  #text = this.#element.querySelector(".banner-text");
  #shown = { waiting: [] };

  constructor(onWithdraw) {
    this.#button.addEventListener("click", () => onWithdraw(this.#shown.waiting[0]));
    // The ETA counts down between the server's words.
    setInterval(() => {
      if (this.#shown.waiting[0]?.etaText()) this.#write();
    }, 1000);
  }

  // waiting: the answers that wait, in their order
  show(waiting, isOnline) {
    const [first, ...others] = waiting;
    this.#shown = { waiting };
    this.#element.hidden = !first;
    for (const answer of others) answer.showWait(heldText());
    if (!first) return;
    first.showWait("");
    this.#element.dataset.service = first.place?.service ?? "";
    this.#button.disabled = !isOnline && first.sent;
    this.#write();
  }

  #write() {
    const [first] = this.#shown.waiting;
    const text = [first.placeText(), first.etaText()].filter(Boolean).join(" · ");
    if (this.#text.textContent !== text) this.#text.textContent = text;
  }
}
