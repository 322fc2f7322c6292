// The text of an answer that is not rendered yet, shown right behind what is.

const CONTAINERS = "p, li, blockquote, ul, ol, h3, h4, h5, h6";

export class Tail {
  #element = null;
  #node = document.createTextNode("");

  // container: the answer's text element; block: its last block, or null.
  // `before` is the source that ends where `text` begins; `apart`: the text is a block's of its own.
  show(container, block, text, before, apart) {
    const home = apart ? null : homeOf(block, text);
    const isCode = home?.tagName === "CODE";
    // Rendering trims the white space at a block's end.
    const space = home && !isCode ? before.slice(-3).match(/\s*$/)[0] : "";
    this.#place(home ?? container, home !== null);
    this.#write(home ? space + text : text.replace(/^\n+/, ""));
  }

  remove() {
    const block = this.#element?.closest(".coming");
    (block ?? this.#element)?.remove();
    this.#element = null;
  }

  // In a block of its own the element is inside a `div`, as the blocks are.
  #place(parent, isInside) {
    const outer = isInside ? this.#element : this.#element?.parentNode;
    const isThere = outer?.parentNode === parent && outer.nextSibling === null;
    if (isThere && (this.#element.localName === "span") === isInside) return;
    this.remove();
    this.#element = document.createElement(isInside ? "span" : "p");
    this.#element.className = "tail";
    this.#element.append(this.#node);
    if (isInside) {
      parent.append(this.#element);
      return;
    }
    const block = document.createElement("div");
    block.className = "block coming";
    block.append(this.#element);
    parent.append(block);
  }

  // What grows is appended to: a long text need not be laid out anew for each token.
  #write(text) {
    const shown = this.#node.data;
    if (text === shown) return;
    if (shown && text.startsWith(shown)) this.#node.appendData(text.slice(shown.length));
    else this.#node.data = text;
  }
}

// The element that the block's text goes on in; null if a new block begins with it.
function homeOf(block, text) {
  let element = block?.lastElementChild;
  if (!element) return null;
  if (element.matches(".code")) return element.matches(".open") ? element.querySelector("code") : null;
  if (/^H\d$/.test(element.tagName) && text.includes("\n")) return null;
  if (!element.matches(CONTAINERS)) return null;
  while (element.lastElementChild?.matches(CONTAINERS)) element = element.lastElementChild;
  if (element.lastElementChild?.matches(".code, .table, hr")) return null;
  return element;
}
