// Plain text that mostly grows, in elements of a bounded length: a long text need not be laid out
// anew for each token.

// Where what follows begins an element of its own: behind the next one of these after so many
// characters. What has no line breaks for this long is nothing that anybody reads.
const ENDS = [
  ["\n", 1_000],
  [" ", 10_000],
  ["", 20_000],
];

export class GrowingText {
  #box;
  #shown = ""; // what stands in the box

  // box: the element that is filled
  constructor(box) {
    this.#box = box;
    box.replaceChildren();
  }

  // What only grows is appended to. Blanks around it are not shown.
  show(source) {
    const text = source.trim();
    if (text === this.#shown) return;
    if (!text.startsWith(this.#shown)) {
      this.#box.replaceChildren();
      this.#shown = "";
    }
    let at = this.#shown.length;
    while (at < text.length) at = this.#append(text, at);
    this.#shown = text;
  }

  // Appends what belongs to one element, and says where the rest begins.
  #append(text, from) {
    let part = this.#box.lastElementChild?.firstChild;
    if (!part || isFull(part)) {
      const element = document.createElement("div");
      element.className = "thought-part";
      element.dir = "auto";
      element.append("");
      this.#box.append(element);
      part = element.firstChild;
    }
    const end = endOf(text, from, part.length);
    part.appendData(text.slice(from, end));
    return end;
  }
}

function isFull(part) {
  return ENDS.some(([sign, least]) => part.length >= least && part.data.endsWith(sign));
}

// Of what is appended to an element of so many characters.
function endOf(text, from, length) {
  const ends = ENDS.map(([sign, least]) => {
    const at = text.indexOf(sign, from + Math.max(0, least - length - sign.length));
    return at < 0 ? text.length : at + sign.length;
  });
  const end = Math.min(...ends);
  return /[\ud800-\udbff]/.test(text[end - 1]) ? end + 1 : end; // no character in halves
}
