// What the reader has to know now: the line above the message box, and the one that is only heard.

import { errorText } from "../shared/error_words.js";
import { newChatText, signInText } from "../shared/words.js";

const CAUSES = ["identity", "connection", "closed"]; // of these the first that there is is said

export class Notice {
  #standing = new Map(); // { text, link } by its cause
  #passing = null;
  #element = document.getElementById("notice");
  #link = this.#element.querySelector(".notice-link");
  #close = document.getElementById("notice-close");
  #status = document.getElementById("status");

  constructor(onClose) {
    this.#close.addEventListener("click", () => {
      if (this.#passing) this.show("");
      else this.stand("closed", "");
      onClose();
    });
  }

  // Said until the next one, or until the reader has closed it. link: { href, text }, a way on.
  show(text, link = null) {
    this.#passing = text ? { text, link } : null;
    this.#write();
  }

  // Said as long as its cause lasts, below what passes; "" when that has ended.
  stand(cause, text, link = null) {
    if (text) this.#standing.set(cause, { text, link });
    else this.#standing.delete(cause);
    this.#write();
  }

  // error: an `error` event, or as much of one
  showError(error) {
    const { code } = error;
    const text = errorText(error);
    if (code === "login_required") {
      this.stand("identity", text, { href: location.href, text: signInText() });
    } else if (code === "queue_closed") {
      this.stand("closed", text);
    } else {
      const isElsewhere = code === "not_found" || code === "forbidden";
      this.show(text, isElsewhere ? { href: "/", text: newChatText() } : null);
    }
  }

  // Only for those who hear the page.
  announce(text) {
    if (this.#status.textContent !== text) this.#status.textContent = text;
  }

  #write() {
    const cause = CAUSES.find((each) => this.#standing.has(each));
    const { text = "", link = null } = this.#passing ?? this.#standing.get(cause) ?? {};
    const words = this.#element.querySelector(".notice-text");
    this.#element.hidden = !text;
    this.#element.dataset.cause = this.#passing ? "passing" : (cause ?? "");
    if (words.textContent !== text) words.textContent = text; // else it would be heard again
    this.#link.hidden = !link;
    this.#link.textContent = link?.text ?? "";
    if (link) this.#link.href = link.href;
    this.#close.hidden = !this.#passing && cause !== "closed";
  }
}
