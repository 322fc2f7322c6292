// Keeps the newest text in sight, but only for a reader who is at the bottom.

const NEAR = 64; // pixels from the bottom that still count as there

export class Scroll {
  #scroller = document.getElementById("scroller");
  #button = document.getElementById("latest");
  #atBottom = true;

  constructor() {
    this.#scroller.addEventListener("scroll", () => this.#moved(), { passive: true });
    this.#button.addEventListener("click", () => this.toBottom());
    new ResizeObserver(() => this.follow()).observe(this.#scroller);
    this.toBottom();
  }

  toBottom() {
    this.#atBottom = true;
    this.follow();
  }

  follow() {
    if (this.#atBottom) this.#scroller.scrollTop = this.#scroller.scrollHeight;
    else this.#moved();
  }

  #moved() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    this.#atBottom = scrollHeight - scrollTop - clientHeight < NEAR;
    this.#button.hidden = this.#atBottom;
  }
}
