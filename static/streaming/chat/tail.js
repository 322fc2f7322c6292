// The words of an answer that are not rendered yet, in the place that the server has left for them
// in the block that grows.

import { patchText } from "./patch.js";

export class Tail {
  #own = null; // a block for text that no block has a place for

  // container: the answer's text element; block: its last block, or null
  show(container, block, text) {
    const place = block?.querySelector(".tail");
    if (place) {
      this.remove();
      write(place, text);
    } else if (text || !block) this.#showApart(container, text);
    else this.remove();
  }

  remove() {
    this.#own?.remove();
    this.#own = null;
  }

  // A server that renders nothing sends no blocks.
  #showApart(container, text) {
    if (!this.#own) {
      this.#own = document.createElement("div");
      this.#own.className = "block coming";
      this.#own.dir = "auto";
      this.#own.append(document.createElement("p"));
      this.#own.firstChild.className = "plain tail";
    }
    if (this.#own.parentNode !== container || this.#own.nextSibling) container.append(this.#own);
    write(this.#own.firstChild, text.replace(/^\n+/, ""));
  }
}

// What grows is appended to: a long text need not be laid out anew for each token.
function write(element, text) {
  if (!element.firstChild) element.append(text);
  else patchText(element.firstChild, text);
}
