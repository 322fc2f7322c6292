// What an answer consists of besides its text and its thought: a refusal, and calls of functions,
// which the model asks its client to make. All of it is put in as text.

import { patchText } from "./patch.js";

let style = null; // few answers need it, and what the server has rendered comes with it

export class OtherItems {
  onGrow = () => {};
  refusal;
  #calls; // [{ element, name, args }], those of earlier parts of the answer first
  #earlier = { refusal: "", count: 0 }; // what the answer goes on from
  #places = new Map(); // in `#calls`, by the number of the item
  #box;
  #refusalText;
  #frame = null;

  // box: the `.items` with what is stored
  constructor(box) {
    this.#box = box;
    this.#refusalText = box.querySelector(".refusal-text");
    this.refusal = this.#refusalText.textContent;
    this.#calls = [...box.querySelectorAll(".call")].map((element) => ({
      element,
      name: element.querySelector(".call-name").textContent,
      args: element.querySelector(".call-arguments").textContent,
    }));
  }

  get isEmpty() {
    return !this.refusal && this.#calls.length === 0;
  }

  // The answer goes on: what is here comes before what follows.
  keep() {
    this.#earlier = { refusal: this.refusal, count: this.#calls.length };
  }

  // It comes from its beginning. What is on the page stays until it is told otherwise.
  begin() {
    this.#places.clear();
    this.refusal = this.#earlier.refusal;
    for (const call of this.#calls.slice(this.#earlier.count)) call.args = "";
  }

  // event: of an item or a part of one
  add({ type, delta, output_index: index, item, name, arguments: args }) {
    if (type === "response.refusal.delta") this.refusal += delta;
    else if (item && item.type !== "function_call") return;
    else {
      const call = this.#callAt(index);
      call.name = item?.name ?? name ?? call.name;
      call.args = delta === undefined ? (item?.arguments ?? args) : call.args + delta;
    }
    this.#frame ??= requestAnimationFrame(() => this.#flush(false));
  }

  // The whole is known.
  end({ refusal, calls }) {
    this.refusal = this.#earlier.refusal + refusal;
    const { count } = this.#earlier;
    for (const { element } of this.#calls.splice(count + calls.length)) element?.remove();
    for (const [number, { name, arguments: args }] of calls.entries()) {
      this.#calls[count + number] = { ...this.#calls[count + number], name, args };
    }
    this.#flush(true);
  }

  #callAt(index) {
    if (!this.#places.has(index)) this.#places.set(index, this.#earlier.count + this.#places.size);
    return (this.#calls[this.#places.get(index)] ??= { name: "", args: "" });
  }

  // isEnd: otherwise less than what is on the page may be the same, told again
  #flush(isEnd) {
    if (this.#frame !== null) cancelAnimationFrame(this.#frame);
    this.#frame = null;
    for (const call of this.#calls) {
      call.element ??= this.#append();
      write(call.element.querySelector(".call-name"), call.name, isEnd);
      write(call.element.querySelector(".call-arguments"), call.args, isEnd);
    }
    write(this.#refusalText, this.refusal, isEnd);
    this.#refusalText.parentElement.hidden = this.#refusalText.textContent === "";
    if (this.isEmpty) this.#box.hidden = true;
    else if (this.#box.hidden) this.#showStyled();
    this.onGrow();
  }

  async #showStyled() {
    await (style ??= loadStyle());
    this.#box.hidden = this.isEmpty;
    this.onGrow();
  }

  #append() {
    const { content } = document.getElementById("call");
    this.#box.append(content.firstElementChild.cloneNode(true));
    return this.#box.lastElementChild;
  }
}

// Resolves when it is there, or cannot be had.
function loadStyle() {
  const sheet = document.createElement("link");
  sheet.rel = "stylesheet";
  sheet.href = document.getElementById("call").dataset.style;
  document.head.append(sheet);
  return new Promise((resolve) => {
    sheet.addEventListener("load", resolve);
    sheet.addEventListener("error", resolve);
  });
}

function write(element, text, isEnd) {
  if (!isEnd && element.textContent.startsWith(text)) return;
  if (element.firstChild) patchText(element.firstChild, text);
  else element.append(text);
}
