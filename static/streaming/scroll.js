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

  // Where an element stands, in pixels from the top of what is in sight.
  topOf(element) {
    return element.getBoundingClientRect().top - this.#scroller.getBoundingClientRect().top;
  }

  // Scrolls so that an element stands there.
  place(element, top) {
    this.#scroller.scrollTop += this.topOf(element) - top;
    this.#moved();
  }

  // What is in sight stays where it is while `change` puts something in above it.
  keep(change) {
    const { scrollHeight, scrollTop } = this.#scroller;
    change();
    this.#scroller.scrollTop = scrollTop + this.#scroller.scrollHeight - scrollHeight;
  }

  #moved() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    this.#atBottom = scrollHeight - scrollTop - clientHeight < NEAR;
    this.#button.hidden = this.#atBottom;
  }
}
