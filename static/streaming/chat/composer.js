// The message box: grows with its text, counts near the limit, Enter sends. Files go with it.

import { isOfInputMethod, isSendKey, nameEnterKey } from "../shared/keys.js";
import { wellFormed } from "../shared/text.js";
import { excessText, roomText } from "../shared/words.js";

const COUNT_FROM = 0.9; // of the limit

export class Composer {
  onChange = () => {}; // called with the text after each change
  #limit;
  #handlers;
  #form = document.getElementById("composer");
  #box = document.getElementById("prompt");
  #send = document.getElementById("send");
  #counter = document.getElementById("counter");
  #title = this.#send.title;

  // files: a FileButton. handlers: onSend(text, attachments), when the box is empty already; onUp(),
  // for ArrowUp in an empty box
  constructor(limit, files, handlers) {
    this.#limit = limit;
    this.#handlers = handlers;
    this.files = files;
    files.onChange = () => this.#changed();
    nameEnterKey(this.#box);
    this.#box.addEventListener("input", () => this.#changed());
    this.#box.addEventListener("keydown", (event) => this.#key(event));
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#changed();
  }

  get limit() {
    return this.#limit;
  }

  set limit(limit) {
    this.#limit = limit;
    this.#changed();
  }

  get isEmpty() {
    return this.text.trim() === "" && !this.files.count;
  }

  get text() {
    return this.#box.value;
  }

  set text(text) {
    this.#box.value = text;
    this.#changed();
  }

  focus() {
    this.#box.focus();
  }

  // For those whose button has vanished. On a phone this would call up its keyboard.
  rest() {
    if (!matchMedia("(pointer: coarse)").matches) this.focus();
    else document.getElementById("scroller").focus({ preventScroll: true });
  }

  #key(event) {
    if (isSendKey(event)) {
      event.preventDefault();
      this.#form.requestSubmit();
    } else if (event.key === "ArrowUp" && this.text === "" && !isOfInputMethod(event)) {
      event.preventDefault();
      this.#handlers.onUp();
    }
  }

  #submit() {
    const { text } = this;
    if (this.isEmpty || this.files.obstacle || excess(text, this.#limit) > 0) return;
    const attachments = this.files.take();
    this.text = "";
    this.focus();
    this.#handlers.onSend(wellFormed(text), attachments);
  }

  #changed() {
    fit(this.#box);
    const over = excess(this.text, this.#limit);
    const { obstacle } = this.files;
    this.#send.disabled = this.isEmpty || over > 0 || obstacle !== "";
    this.#send.title = obstacle || this.#title;
    this.#form.toggleAttribute("data-empty", this.isEmpty); // the style sheet shows Stop or Send
    this.#box.setAttribute("aria-invalid", String(over > 0));
    this.#showCount(over);
    this.onChange(this.text);
  }

  #showCount(over) {
    const near = over > -this.#limit * (1 - COUNT_FROM);
    this.#counter.hidden = !near;
    this.#counter.classList.toggle("over", over > 0);
    if (near) this.#counter.textContent = over > 0 ? excessText(over) : roomText(Math.abs(over));
  }
}

// Code points over the limit, as the server counts them; negative while there is room.
export function excess(text, limit) {
  // A text has at most as many code points as UTF-16 units: most texts need no counting.
  if (text.length < limit * COUNT_FROM) return text.length - limit;
  return [...text].length - limit;
}

// As high as the text; the style sheet says how high at most.
export function fit(box) {
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight}px`;
}
