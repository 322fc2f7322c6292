// The quiet line of who has not asked yet: how many wait now, and how long it would take.

import { waitOf } from "./place.js";
import { loadText } from "../shared/wait_words.js";

export class LoadLine {
  #element = document.getElementById("queue-load");
  #load = null;
  #service = "ready";
  #isHidden = false;

  // event: a `chatstream:session` or a `chatstream:load`
  learn({ load = null, service = "ready" }) {
    this.#load = load;
    this.#service = service;
    this.#write();
  }

  // Nobody needs it who waits or reads, or is not connected.
  set isHidden(isHidden) {
    this.#isHidden = isHidden;
    this.#write();
  }

  // Whoever asks later waits as long from then on: the wait does not count down.
  #write() {
    const isSaid = this.#load && !this.#isHidden;
    const text = isSaid ? loadText(this.#load, this.#service, waitOf(this.#load)) : "";
    this.#element.hidden = !text;
    if (this.#element.textContent !== text) this.#element.textContent = text;
  }
}
