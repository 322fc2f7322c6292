// What the reader has to know now: the line above the message box, and the one that is only heard.

import { errorText, newChatText, signInText } from "./words.js";

export class Notice {
  #element = document.getElementById("notice");
  #link = this.#element.querySelector(".notice-link");
  #close = document.getElementById("notice-close");
  #status = document.getElementById("status");

  constructor(onClose) {
    this.#close.addEventListener("click", () => {
      this.show("");
      onClose();
    });
  }

  // link: { href, text }, a way on. `stays`: only its cause can take it away.
  show(text, { link = null, stays = false } = {}) {
    this.#element.hidden = !text;
    this.#element.querySelector(".notice-text").textContent = text;
    this.#link.hidden = !link;
    this.#link.textContent = link?.text ?? "";
    if (link) this.#link.href = link.href;
    this.#close.hidden = stays;
  }

  // error: an `error` event, or as much of one
  showError(error) {
    const { code } = error;
    const link = {
      not_found: { href: "/", text: newChatText() },
      forbidden: { href: "/", text: newChatText() },
      login_required: { href: location.href, text: signInText() },
    }[code];
    this.show(errorText(error), { link, stays: code === "login_required" });
  }

  // Only for those who hear the page.
  announce(text) {
    if (this.#status.textContent !== text) this.#status.textContent = text;
  }
}
