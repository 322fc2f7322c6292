// An answer's text: the source as it came, and on the page the blocks that the server made of it.
//
// The HTML of the blocks is the server's, which lets through no more than it knows to be safe;
// everything else is put in as text.

import { addCodeButtons } from "./code_button.js";
import { patch, patchItems } from "./patch.js";
import { Selected } from "./selection.js";
import { Tail } from "./tail.js";
import { isBlank } from "../shared/text.js";

export class Blocks {
  onGrow = () => {};
  #container;
  #blocks;
  #html = new Map(); // what each changed block should be, by index: one change after the other
  #count; // of the blocks that there should be
  #tail = "";
  #tailElement = new Tail();
  #seen = ""; // what was on the page when the answer was begun again
  #live = false;
  #frame = null;

  // container: the `.text` element, with the blocks of what is stored; source: their Markdown
  constructor(container, source = "") {
    this.source = source;
    this.#container = container;
    this.#blocks = [...container.querySelectorAll(":scope > .block")];
    this.#count = this.#blocks.length;
    for (const block of this.#blocks) addCodeButtons(block);
  }

  get showsNothing() {
    return isBlank(this.source) && isBlank(this.#seen);
  }

  // The text comes from its beginning; `prefix` is that of the answer that it continues. What is
  // on the page stays until the new text differs from it: mostly it is the same, told again.
  begin(prefix) {
    this.#seen = this.source.length > prefix.length ? this.source : "";
    this.source = prefix;
    this.#html.clear();
    this.#tail = "";
    if (!prefix) this.#count = 0;
    this.#live = true;
    this.#plan();
  }

  // At most one change of the page per frame, however fast the tokens come.
  add({ delta, blocks = [], tail = null, more = delta, block_count: count }) {
    this.source += delta;
    this.#live = true;
    this.#take(blocks, count);
    this.#tail = tail ?? this.#tail + more;
    this.#plan();
  }

  // The whole text is known. A server that renders nothing sends no blocks.
  end(source, { blocks, block_count: count }) {
    this.source = source;
    this.#seen = "";
    this.#live = false;
    if (blocks) {
      this.#take(blocks, count);
      this.#tail = "";
    } else {
      this.#html.clear();
      this.#count = 0;
      this.#tail = source;
    }
    this.flush();
  }

  // What was on the page when it was begun again is not told again.
  forget() {
    this.#seen = "";
    this.#plan();
  }

  // No more will come for now.
  rest() {
    this.#live = false;
    this.flush();
  }

  flush() {
    if (this.#frame !== null) cancelAnimationFrame(this.#frame);
    this.#frame = null;
    if (this.#seen.length > this.source.length && this.#seen.startsWith(this.source)) return;
    this.#seen = "";
    const selected = new Selected(this.#container);
    while (this.#blocks.length > this.#count) this.#blocks.pop().remove();
    for (const [index, changes] of this.#html) {
      for (const { html, keep } of changes) this.#set(index, html, keep);
    }
    this.#html.clear();
    this.#showTail();
    selected.restore();
    this.onGrow();
  }

  #take(blocks, count) {
    if (count !== undefined) {
      this.#count = count;
      for (const index of this.#html.keys()) if (index >= count) this.#html.delete(index);
    }
    for (const { index, html, keep } of blocks) {
      const before = keep === undefined ? [] : (this.#html.get(index) ?? []);
      this.#html.set(index, [...before, { html, keep }]);
      this.#count = Math.max(this.#count, index + 1);
    }
  }

  #plan() {
    this.#frame ??= requestAnimationFrame(() => this.flush());
  }

  // keep: of the list at the block's end so many items stay, and those of `html` follow
  #set(index, html, keep) {
    while (this.#blocks.length <= index) {
      const block = document.createElement("div");
      block.className = "block";
      block.dir = "auto";
      if (this.#blocks.length) this.#blocks.at(-1).after(block);
      else this.#container.prepend(block);
      this.#blocks.push(block);
    }
    const block = this.#blocks[index];
    if (block.html === html) return;
    block.html = keep === undefined ? html : null;
    const wanted = document.createElement("div");
    wanted.innerHTML = html;
    addCodeButtons(wanted);
    if (keep === undefined) patch(block, wanted);
    else patchItems(block.lastElementChild, wanted.firstElementChild, keep);
  }

  #showTail() {
    if (!this.#tail && !this.#live) this.#tailElement.remove();
    else this.#tailElement.show(this.#container, this.#blocks.at(-1) ?? null, this.#tail);
  }
}
