// The rows of one table. A new one is made from the server's own row, which stands in a
// `<template>` with marks for the names; so what somebody may do is the server's word alone.
// Rows are kept by their key: what is focused, checked or half typed in them stays.

const MARKS = /\b(RESPONSE_ID|SHORT_ID|OWNER|CONVERSATION_ID|WORKER_ID)\b/g;

export class Rows {
  #body;
  #section;
  #template;
  #kind;
  #all; // ticks all rows; nobody else's than who may select
  #parts = new WeakMap(); // by row: its elements that change, by their names

  // kind: { key, names(row), fill(parts, row, context) } of `queue_cells.js`
  constructor(id, kind) {
    this.#body = document.getElementById(id);
    this.#section = this.#body.closest("section");
    this.#template = document.getElementById(`${id}-row`).content.firstElementChild;
    this.#kind = kind;
    for (const row of [this.#template, ...this.#body.rows]) rest(row);
    this.#all = this.#section.querySelector("thead [type=checkbox]");
    this.#offerAll();
  }

  show(rows, context = {}) {
    const known = new Map([...this.#body.rows].map((row) => [row.dataset.key, row]));
    const elements = rows.map((row) => {
      const key = row[this.#kind.key];
      const element = known.get(key) ?? this.#make(row);
      known.delete(key);
      element.removeAttribute("data-gone");
      this.#kind.fill(this.#partsOf(element), row, context);
      return element;
    });
    const focused = document.activeElement;
    const hadFocus = this.#body.contains(focused);
    for (const element of known.values()) element.remove();
    place(this.#body, elements);
    if (hadFocus && focused !== document.activeElement) {
      const region = this.#body.closest("[tabindex]");
      (focused.isConnected ? focused : region).focus({ preventScroll: true });
    }
    this.#sumUp();
  }

  // As `show`, but nothing comes, goes or moves; rows that would go are marked. True if what is
  // shown is what there is.
  fill(rows, context = {}) {
    const known = new Map(rows.map((row) => [row[this.#kind.key], row]));
    const elements = [...this.#body.rows];
    for (const element of elements) {
      const row = known.get(element.dataset.key);
      element.toggleAttribute("data-gone", !row);
      if (row) this.#kind.fill(this.#partsOf(element), row, context);
    }
    const keys = elements.map((element) => element.dataset.key);
    return keys.join() === [...known.keys()].join();
  }

  // Why the table is empty: there is nothing, or nothing that is searched.
  sayIfEmpty(all, found) {
    this.#section.querySelector(".cs-empty").hidden = all > 0;
    this.#section.querySelector(".cs-none").hidden = all === 0 || found > 0;
  }

  #offerAll() {
    if (!this.#all) return;
    this.#all.hidden = false;
    this.#all.addEventListener("change", () => {
      for (const box of this.#boxes()) box.checked = this.#all.checked;
    });
    this.#body.addEventListener("change", () => this.#sumUp());
  }

  #sumUp() {
    if (!this.#all) return;
    const boxes = this.#boxes();
    this.#all.checked = boxes.length > 0 && boxes.every((box) => box.checked);
  }

  #boxes() {
    return [...this.#body.querySelectorAll("[name=selected]")];
  }

  #make(row) {
    const names = this.#kind.names(row);
    const element = this.#template.cloneNode(true);
    for (const each of [element, ...element.querySelectorAll("*")]) {
      for (const attribute of each.attributes) {
        const value = attribute.value.replace(MARKS, (mark) => names[mark] ?? "");
        if (value !== attribute.value) attribute.value = value;
      }
    }
    return element;
  }

  #partsOf(element) {
    let parts = this.#parts.get(element);
    if (!parts) {
      const found = [...element.querySelectorAll("[data-part]")];
      parts = Object.fromEntries(found.map((part) => [part.dataset.part, part]));
      this.#parts.set(element, parts);
    }
    return parts;
  }
}

// Whenever a submit button comes or goes, a browser looks through the whole form for the one that
// Enter presses: seconds for hundreds of rows. So here they are submit buttons only when pressed.
function rest(row) {
  for (const button of row.querySelectorAll("button[formaction]")) button.type = "button";
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[type=button][formaction]");
  if (!button?.form) return;
  button.type = "submit";
  button.form.requestSubmit(button);
  button.type = "button";
});

// Puts the elements in this order, moving few: what is moved loses the focus.
function place(body, elements) {
  let at = body.firstElementChild;
  for (const element of elements) {
    if (at && at !== element && at.nextElementSibling === element) {
      body.append(at); // it went backwards, and its turn comes
      at = element;
    }
    if (at === element) at = at.nextElementSibling;
    else body.insertBefore(element, at);
  }
}

// --- for cells ---

export function setText(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

export function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

// One of two controls, either of which may be missing for who may not: the second one if `other`.
// The focus goes from button to button; who types in a field would press what they did not mean.
export function swap(first, second, other) {
  const [shown, hidden] = other ? [second, first] : [first, second];
  const hadFocus = hidden && hidden === document.activeElement;
  if (hidden) hidden.hidden = true;
  if (shown) shown.hidden = false;
  if (!hadFocus || !shown) return;
  (shown.matches("button") ? shown : shown.querySelector("input, button")).focus();
}
