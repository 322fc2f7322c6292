// Keeps the newest text in sight for a reader who is at the end, and lets go of one who moves up.

const NEAR = 16; // pixels from the end that count as there for who moves down
const PAUSE = 500; // milliseconds in which a wish to move up may become a movement

const UP_KEYS = ["ArrowUp", "PageUp", "Home"];
const TYPED_IN = "input, textarea, select, dialog, [contenteditable]";

export class Scroll {
  #scroller = document.getElementById("scroller");
  #thread = document.getElementById("thread");
  #button = document.getElementById("latest");
  #dock = document.querySelector(".dock");
  #follows = true;
  #top = 0; // where it stood when it was last looked at
  #pausedUntil = 0;
  #touch = 0; // where the finger was
  #width = 0; // of the lines, in pixels

  constructor() {
    const scroller = this.#scroller;
    scroller.addEventListener("scroll", () => this.#moved(), { passive: true });
    scroller.addEventListener("wheel", (event) => this.#onWheel(event), { passive: true });
    scroller.addEventListener("touchstart", (event) => this.#onTouch(event), { passive: true });
    scroller.addEventListener("touchmove", (event) => this.#onTouch(event), { passive: true });
    document.addEventListener("keydown", (event) => this.#onKey(event));
    this.#button.addEventListener("click", () => this.toBottom());
    new ResizeObserver(() => this.#resized()).observe(scroller);
    this.toBottom();
  }

  toBottom() {
    this.#follows = true;
    this.#pausedUntil = 0;
    this.#thread.style.minHeight = "";
    this.follow();
  }

  follow() {
    if (this.#follows && performance.now() >= this.#pausedUntil) {
      this.#scroller.scrollTop = this.#scroller.scrollHeight;
      this.#top = this.#scroller.scrollTop;
    }
    this.#showButton();
  }

  // Where an element stands, in pixels from the top of what is in sight.
  topOf(element) {
    return element.getBoundingClientRect().top - this.#scroller.getBoundingClientRect().top;
  }

  // Scrolls so that an element stands there.
  place(element, top) {
    this.#scroller.scrollTop += this.topOf(element) - top;
    this.#top = this.#scroller.scrollTop;
    this.#follows = this.#below < NEAR;
    this.#showButton();
  }

  // What is in sight stays where it is while `change` puts something in above it.
  keep(change) {
    const { scrollHeight, scrollTop } = this.#scroller;
    change();
    this.#scroller.scrollTop = scrollTop + this.#scroller.scrollHeight - scrollHeight;
    this.#top = this.#scroller.scrollTop;
  }

  // What is in sight stays where it is while `change` makes an element shorter: what stands above,
  // or if the element begins out of sight, what stands below. The end of the page then keeps the
  // room for what is still to come.
  fold(element, change) {
    if (this.topOf(element) < 0) {
      this.keep(change);
      return;
    }
    const height = this.#thread.getBoundingClientRect().height - this.#below;
    change();
    const left = this.#thread.getBoundingClientRect().height;
    if (left < height) this.#thread.style.minHeight = `${height}px`;
  }

  // The reader has made something longer or shorter: nothing pulls it out of sight.
  look() {
    this.#follows = this.#below < NEAR;
    this.#top = this.#scroller.scrollTop;
    this.#showButton();
  }

  // Pixels of the conversation below what is in sight.
  get #below() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight;
  }

  #resized() {
    const { clientWidth, offsetWidth } = this.#scroller;
    this.#dock.style.paddingInline = `${(offsetWidth - clientWidth) / 2}px`; // in line with the text
    if (clientWidth !== this.#width) this.#thread.style.minHeight = "";
    this.#width = clientWidth;
    this.follow();
  }

  #onWheel({ deltaY, ctrlKey }) {
    if (deltaY < 0 && !ctrlKey) this.#pause();
  }

  #onTouch({ type, touches }) {
    const { clientY } = touches[0];
    if (type === "touchmove" && clientY > this.#touch) this.#pause();
    this.#touch = clientY;
  }

  #onKey({ key, shiftKey, target }) {
    const isUp = UP_KEYS.includes(key) || (key === " " && shiftKey);
    if (isUp && !target.closest?.(TYPED_IN)) this.#pause();
  }

  // The reader wants to move up: nothing may pull against it before it is seen to happen.
  #pause() {
    this.#pausedUntil = performance.now() + PAUSE;
  }

  // Up is the reader's doing, unless the text has become shorter: then its end is in sight.
  #moved() {
    const { scrollTop } = this.#scroller;
    if (scrollTop < this.#top && this.#below >= 1) this.#follows = false;
    else if (scrollTop > this.#top && this.#below < NEAR) {
      this.#follows = true;
      this.#pausedUntil = 0;
    }
    this.#top = scrollTop;
    this.#showButton();
  }

  #showButton() {
    this.#button.hidden = this.#follows || this.#below < 1;
  }
}
