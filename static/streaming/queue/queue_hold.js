// Whether somebody is about to act in a list, which then stands still: a button that moves away
// lets another row be hit.

const TOUCHED = 5000; // milliseconds after a finger has left: it comes back to tap

export class Hold {
  #by = new Set(); // "pointer", "keys": what is in the list
  #onRelease;
  #timer = 0;

  // `area` has the rows, all in `<tbody>`s. What the page itself does (a row that grows under a
  // pointer at rest, a focus set by a script) holds nothing: only what somebody does there.
  constructor(area, onRelease) {
    this.#onRelease = onRelease;
    for (const body of area.querySelectorAll("tbody")) {
      for (const name of ["pointermove", "pointerdown", "wheel"]) {
        body.addEventListener(name, () => this.#take("pointer"), { passive: true });
      }
      for (const name of ["keydown", "keyup"]) {
        body.addEventListener(name, () => this.#take("keys"));
      }
      body.addEventListener("pointerleave", (event) => this.#left(event));
      body.addEventListener("focusout", ({ relatedTarget }) => {
        if (!body.contains(relatedTarget)) this.#drop("keys");
      });
    }
  }

  get isHeld() {
    return this.#by.size > 0;
  }

  // Until somebody moves or types there again: what they asked for is done.
  release() {
    clearTimeout(this.#timer);
    if (!this.isHeld) return;
    this.#by.clear();
    this.#onRelease();
  }

  #take(what) {
    if (what === "pointer") clearTimeout(this.#timer);
    this.#by.add(what);
  }

  #drop(what) {
    if (this.#by.delete(what) && !this.isHeld) this.#onRelease();
  }

  #left({ pointerType }) {
    clearTimeout(this.#timer);
    if (pointerType === "mouse") this.#drop("pointer");
    else this.#timer = setTimeout(() => this.#drop("pointer"), TOUCHED);
  }
}
