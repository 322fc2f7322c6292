// The message box: grows with its text, counts near the limit, Enter sends.

const COUNT_FROM = 0.9; // of the limit

export class Composer {
  #limit;
  #form = document.getElementById("composer");
  #box = document.getElementById("prompt");
  #send = document.getElementById("send");
  #counter = document.getElementById("counter");

  // onSend(text) is called with what was typed; the box is empty by then.
  constructor(limit, onSend) {
    this.#limit = limit;
    this.#box.addEventListener("input", () => this.#changed());
    this.#box.addEventListener("keydown", (event) => this.#key(event));
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(onSend);
    });
    this.#changed();
  }

  set limit(limit) {
    this.#limit = limit;
    this.#changed();
  }

  get isEmpty() {
    return this.#box.value.trim() === "";
  }

  set text(text) {
    this.#box.value = text;
    this.#changed();
  }

  focus() {
    this.#box.focus();
  }

  #key(event) {
    const composing = event.isComposing || event.keyCode === 229; // Enter ends the IME's word
    if (event.key !== "Enter" || event.shiftKey || composing) return;
    event.preventDefault();
    this.#form.requestSubmit();
  }

  #submit(onSend) {
    if (this.isEmpty || this.#excess() > 0) return;
    const text = this.#box.value;
    this.text = "";
    this.focus();
    onSend(text);
  }

  #changed() {
    this.#box.style.height = "auto";
    this.#box.style.height = `${this.#box.scrollHeight}px`;
    const excess = this.#excess();
    this.#send.disabled = this.isEmpty || excess > 0;
    this.#box.setAttribute("aria-invalid", String(excess > 0));
    this.#showCount(excess);
  }

  // Code points over the limit, as the server counts them; negative while there is room.
  #excess() {
    const text = this.#box.value;
    // A text has at most as many code points as UTF-16 units: most texts need no counting.
    if (text.length < this.#limit * COUNT_FROM) return text.length - this.#limit;
    return [...text].length - this.#limit;
  }

  #showCount(excess) {
    const near = excess > -this.#limit * (1 - COUNT_FROM);
    this.#counter.hidden = !near;
    this.#counter.classList.toggle("over", excess > 0);
    if (!near) return;
    const number = Math.abs(excess).toLocaleString("en");
    const characters = excess === 1 ? "character" : "characters";
    this.#counter.textContent = excess > 0 ? `${number} ${characters} too many` : `${number} left`;
  }
}
