// What is selected in an element, by the characters of its text: for a change that keeps the text
// and makes other nodes of it.

export class Selected {
  #element;
  #anchor;
  #focus;

  // What of `element` is selected now; `restore` selects it again if a change has lost it.
  constructor(element) {
    const selection = getSelection();
    this.#element = element;
    this.#anchor = offsetOf(element, selection.anchorNode, selection.anchorOffset);
    this.#focus = offsetOf(element, selection.focusNode, selection.focusOffset);
  }

  restore() {
    if (this.#anchor === null && this.#focus === null) return;
    const selection = getSelection();
    const { anchorNode, anchorOffset, focusNode, focusOffset } = selection;
    const isAnchorThere = offsetOf(this.#element, anchorNode, anchorOffset) === this.#anchor;
    const isFocusThere = offsetOf(this.#element, focusNode, focusOffset) === this.#focus;
    if (isAnchorThere && isFocusThere) return;
    const anchor = this.#anchor === null ? [anchorNode, anchorOffset] : this.#pointAt(this.#anchor);
    const focus = this.#focus === null ? [focusNode, focusOffset] : this.#pointAt(this.#focus);
    if (anchor[0] && focus[0]) selection.setBaseAndExtent(...anchor, ...focus);
  }

  #pointAt(offset) {
    const walker = document.createTreeWalker(this.#element, NodeFilter.SHOW_TEXT);
    let last = this.#element;
    for (let rest = offset; walker.nextNode(); rest -= last.length) {
      last = walker.currentNode;
      if (rest <= last.length) return [last, rest];
    }
    return [last, last.length ?? last.childNodes.length];
  }
}

// Characters of the element's text before a point of it; null: the point is elsewhere.
function offsetOf(element, node, offset) {
  if (!node || !element.contains(node)) return null;
  const range = document.createRange();
  range.setStart(element, 0);
  range.setEnd(node, offset);
  return range.toString().length;
}
