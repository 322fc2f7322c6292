// Answers on the clipboard: as HTML for what takes it, and as text that is worth reading.
//
// A formula is copied as its LaTeX: a browser would write its signs one below the other.

// A thought is copied where it is open and selected.
const UNWANTED =
  "button:not(.footnote-mark), .tail, .unseen, .icons, [hidden], script, .actions, " +
  ".thought:not([open]), .thought summary, .call:not([open]), .refusal-label";

// Whose parts are copied as such: a few words of an item are no list.
const WHOLE = "p, h3, h4, h5, h6, li, th, td, blockquote, label, summary, details, .footnote, .block";

// The HTML of an answer, without what only the page needs. turn: its view
export function htmlOf(turn) {
  const copy = document.createElement("div");
  for (const block of turn.find(".text").querySelectorAll(":scope > .block")) {
    copy.append(...block.cloneNode(true).childNodes);
  }
  const refusal = turn.find(".refusal-text").textContent;
  if (refusal) {
    const paragraph = document.createElement("p");
    paragraph.textContent = refusal;
    copy.append(paragraph);
  }
  return clean(copy).innerHTML;
}

// What is selected, where some of it is an answer's: formulas whole.
export function copySelection(event) {
  const selection = getSelection();
  if (selection.rangeCount !== 1 || selection.isCollapsed || isField(event.target)) return;
  const range = selection.getRangeAt(0).cloneRange();
  if (!touchesAnswer(range)) return;
  widen(range);
  const copy = document.createElement("div");
  copy.append(withMarkup(range));
  keepNumbers(copy, range);
  clean(copy);
  const formulas = copy.querySelectorAll("math");
  const isOnlyFormula = formulas.length === 1 && copy.textContent === formulas[0].textContent;
  const text = isOnlyFormula ? latexOf(formulas[0]) : textOf(copy);
  event.clipboardData.setData("text/plain", text);
  event.clipboardData.setData("text/html", copy.innerHTML);
  event.preventDefault();
}

function isField(target) {
  return target instanceof Element && target.closest("input, textarea") !== null;
}

function touchesAnswer(range) {
  const element = elementOf(range.commonAncestorContainer);
  if (element.closest(".answer .text")) return true;
  return [...element.querySelectorAll(".answer .text")].some((text) => range.intersectsNode(text));
}

function elementOf(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node : node.parentElement;
}

// What is selected, in the elements that it stands in: lines of code stay lines, and cells a table.
function withMarkup(range) {
  let content = range.cloneContents();
  let element = elementOf(range.commonAncestorContainer);
  if (!element.closest(".answer .block")) return content;
  for (; !element.matches(WHOLE); element = element.parentElement) {
    const copy = element.cloneNode(false);
    copy.append(content);
    content = copy;
  }
  return content;
}

// A list that is copied from its third item on begins with three.
function keepNumbers(copy, range) {
  const { startContainer, startOffset } = range;
  let original = itemOf(firstIn(startContainer.childNodes[startOffset] ?? startContainer));
  for (let item = itemOf(firstIn(copy)); item && original; item = itemOf(item.parentNode)) {
    const list = original.parentElement;
    if (list.localName === "ol") {
      item.parentElement.start = list.start + [...list.children].indexOf(original);
    }
    original = itemOf(list);
  }
}

function firstIn(node) {
  while (node.firstChild) node = node.firstChild;
  return node;
}

function itemOf(node) {
  return elementOf(node)?.closest("li");
}

// No formula is copied in part.
function widen(range) {
  const first = elementOf(range.startContainer).closest("math");
  const last = elementOf(range.endContainer).closest("math");
  if (first) range.setStartBefore(first);
  if (last) range.setEndAfter(last);
}

function clean(copy) {
  for (const element of copy.querySelectorAll(UNWANTED)) element.remove();
  for (const mark of copy.querySelectorAll(".footnote-mark")) {
    mark.replaceWith(`[${mark.dataset.note}]`);
  }
  for (const element of copy.querySelectorAll("[tabindex], [role=region]")) {
    for (const name of ["tabindex", "role", "aria-label"]) element.removeAttribute(name);
  }
  return copy;
}

function latexOf(formula) {
  return formula.querySelector("annotation")?.textContent ?? formula.textContent;
}

// Laid out where nobody sees it, since only so the lines of blocks and tables are known.
function textOf(html) {
  const copy = html.cloneNode(true);
  for (const formula of copy.querySelectorAll("math")) {
    const isBlock = formula.getAttribute("display") === "block";
    const mark = isBlock ? "$$" : "$";
    formula.replaceWith(`${mark}${latexOf(formula)}${mark}`);
  }
  for (const item of copy.querySelectorAll("li")) item.prepend(markerOf(item));
  for (const box of copy.querySelectorAll("input[type=checkbox]")) {
    box.replaceWith(box.checked ? "[x]" : "[ ]");
  }
  copy.className = "copied-text";
  copy.setAttribute("aria-hidden", "true");
  document.body.append(copy);
  const text = copy.innerText;
  copy.remove();
  return text.trim();
}

// What stands before an item, as far in as Markdown wants it below the item around it.
function markerOf(item) {
  const marker = document.createElement("span");
  const list = item.parentElement;
  const isNumbered = list?.localName === "ol";
  const sign = isNumbered ? `${list.start + [...list.children].indexOf(item)}.` : "-";
  const outer = list.closest("li")?.querySelector(":scope > .marker").textContent ?? "";
  marker.className = "marker";
  marker.textContent = `${" ".repeat(outer.length)}${sign} `;
  return marker;
}
