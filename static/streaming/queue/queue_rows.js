// The rows of one table. A new one is made from the server's own row, which stands in a
// `<template>` with marks for the names; so what somebody may do is the server's word alone.
// Rows are kept by their key: what is focused, checked, open or half typed in them stays.

import { handOn, put } from "./queue_parts.js";

const MARKS = /\b(RESPONSE_ID|SHORT_ID|OWNER|CONVERSATION_ID|WORKER_ID)\b/g;
const NAMES = {
  RESPONSE_ID: "response_id",
  SHORT_ID: "short",
  OWNER: "owner",
  CONVERSATION_ID: "conversation_id",
  WORKER_ID: "worker_id",
};

export class Rows {
  #body;
  #section;
  #template;
  #all; // ticks all rows; nobody else's than who may select
  #made = new WeakMap(); // by element: { names, parts: its elements that change, by their names }

  constructor(id) {
    this.#body = document.getElementById(id);
    this.#section = this.#body.closest(".cs-section");
    this.#template = document.getElementById(`${id}-row`).content.firstElementChild;
    for (const row of [this.#template, ...this.#body.rows]) rest(row);
    this.#all = this.#section.querySelector("thead [type=checkbox]");
    this.#offerAll();
  }

  show(rows) {
    const known = new Map([...this.#body.rows].map((row) => [row.dataset.key, row]));
    const elements = rows.map((row) => {
      const element = this.#elementOf(row, known.get(row.key));
      known.delete(row.key);
      element.removeAttribute("data-gone");
      this.#fill(element, row);
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
  fill(rows) {
    const known = new Map(rows.map((row) => [row.key, row]));
    const elements = [...this.#body.rows];
    for (const element of elements) {
      const row = known.get(element.dataset.key);
      element.toggleAttribute("data-gone", !row);
      if (row) this.#fill(element, row);
    }
    const keys = elements.map((element) => element.dataset.key);
    return keys.join() === [...known.keys()].join();
  }

  // Why the table is empty: there is nothing, or nothing that is searched.
  sayIfEmpty(all, found) {
    this.#section.querySelector(".cs-empty").hidden = all > 0;
    const none = this.#section.querySelector(".cs-none");
    if (none) none.hidden = all === 0 || found > 0;
  }

  #fill(element, row) {
    const { parts } = this.#madeOf(element);
    const focused = document.activeElement; // what is hidden may lose the focus at once
    for (const [name, values] of Object.entries(row.parts)) {
      if (parts[name]) put(parts[name], values);
    }
    if (element.contains(focused)) handOn(focused);
  }

  // The row's element; another one if its names are not those that it was made with.
  #elementOf(row, known) {
    const made = known && this.#madeOf(known);
    if (made && (made.names === null || isSame(made.names, row.names))) {
      made.names = row.names;
      return known;
    }
    const element = this.#make(row);
    const box = element.querySelector("[name=selected]");
    if (known && box) box.checked = known.querySelector("[name=selected]").checked;
    known?.replaceWith(element);
    return element;
  }

  #make(row) {
    const element = this.#template.cloneNode(true);
    for (const each of [element, ...element.querySelectorAll("*")]) {
      for (const attribute of each.attributes) {
        const isAddress = attribute.name === "href";
        const named = (mark) => {
          const name = row.names[NAMES[mark]] ?? "";
          return isAddress ? encodeURIComponent(name) : name;
        };
        const value = attribute.value.replace(MARKS, named);
        if (value !== attribute.value) attribute.value = value;
      }
    }
    this.#madeOf(element).names = row.names;
    return element;
  }

  #madeOf(element) {
    let made = this.#made.get(element);
    if (!made) {
      const found = [...element.querySelectorAll("[data-part]")];
      const parts = Object.fromEntries(found.map((part) => [part.dataset.part, part]));
      made = { names: null, parts }; // the server's own row: its names are those of its key
      this.#made.set(element, made);
    }
    return made;
  }

  // --- ticking ---

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
}

function isSame(names, others) {
  return Object.entries(names).every(([name, value]) => others[name] === value);
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
