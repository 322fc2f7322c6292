// The list itself: the server renders its pieces, here they are put together.

import { get, Refused } from "../shared/request.js";

export class SideList {
  #element = document.getElementById("side-list");
  #status = document.getElementById("side-status");
  #url;
  #query = "";
  #asked = new AbortController();

  constructor(url) {
    this.#url = url;
    this.#describe();
  }

  items() {
    return [...this.#element.querySelectorAll(".side-item")];
  }

  item(id) {
    return this.items().find((item) => item.dataset.id === id);
  }

  say(text) {
    this.#status.textContent = text;
  }

  // The list anew, for a search or without one.
  async refresh(query = this.#query) {
    this.#query = query;
    const html = await this.#ask({ q: query });
    if (html === null) return;
    const open = [...this.#element.querySelectorAll(".side-shelf[open]")].map(nameOf);
    this.#element.innerHTML = html;
    this.#element.scrollTop = 0;
    this.markCurrent();
    const shelves = [...this.#element.querySelectorAll(".side-shelf")];
    const again = shelves.filter((shelf) => open.includes(nameOf(shelf)));
    await Promise.all(again.map((shelf) => this.#fill(shelf)));
    const count = this.items().length;
    const more = this.#element.querySelector(".side-more");
    const found = more
      ? gettext("More than %s conversations found")
      : ngettext("%s conversation found", "%s conversations found", count);
    this.say(query ? interpolate(found, [count]) : "");
  }

  // The list anew after something was done with an item: what is in sight stays there, and the
  // focus where it was.
  async refreshAround(item) {
    const top = this.#element.scrollTop;
    const items = this.items();
    const index = items.indexOf(item);
    const near = [item, items[index + 1], items[index - 1]].map((each) => each?.dataset.id);
    await this.refresh();
    this.#element.scrollTop = top;
    const found = near.map((id) => this.item(id)).find((each) => each?.checkVisibility?.() ?? each);
    (found?.querySelector("[data-do=menu]") ?? this.#element).focus({ preventScroll: true });
  }

  // What stands in a folder or in the archive, when it is first opened.
  loadShelf(shelf) {
    if (shelf.open && !shelf.querySelector(".side-shelf-list").hasChildNodes()) this.#fill(shelf);
  }

  async #fill(shelf) {
    const html = await this.#fetch(shelfOf(shelf));
    shelf.open = html !== null;
    if (html === null) return;
    shelf.querySelector(".side-shelf-list").innerHTML = html;
    this.markCurrent();
  }

  // What follows; a piece that begins within the last group goes on with it.
  async showMore(button) {
    button.disabled = true;
    const { after } = button.dataset;
    const html = await this.#ask({ q: this.#query, after, ...shelfOf(button) });
    if (html === null) {
      button.disabled = false;
      return;
    }
    const piece = document.createElement("template");
    piece.innerHTML = html;
    const known = new Set(this.items().map((item) => item.dataset.id));
    for (const item of piece.content.querySelectorAll(".side-item")) {
      if (known.has(item.dataset.id)) item.remove(); // it moved up meanwhile
    }
    const first = piece.content.querySelector(".side-link");
    const last = button.previousElementSibling;
    const next = piece.content.querySelector(".side-group");
    if (last && next?.dataset.group === last.dataset.group) {
      last.querySelector("ul").append(...next.querySelectorAll(".side-item"));
      next.remove();
    }
    button.replaceWith(piece.content);
    this.markCurrent();
    first?.focus();
  }

  // Without a title: whose they were is signed out.
  clear() {
    this.#element.replaceChildren();
  }

  // A conversation that has just begun.
  add(id, title) {
    if (this.#query) return; // it is there when the search ends
    const item = document.getElementById("side-item").content.firstElementChild.cloneNode(true);
    item.dataset.id = id;
    const link = item.querySelector(".side-link");
    link.href = `/c/${id}/`;
    link.textContent = title.replace(/\s+/g, " ").trim() || gettext("Untitled");
    this.#element.querySelector(".side-none")?.remove();
    this.#toTop(item);
    this.markCurrent();
  }

  // It was written in: now it is the newest one of where it stands.
  touch(id) {
    if (this.#query) return;
    const item = this.item(id);
    if (!item) {
      this.refresh();
      return;
    }
    const place = item.closest(".side-shelf, [data-group=pinned]")?.querySelector("ul");
    const isFirst = place ? place.firstElementChild === item : item === this.#days.querySelector(".side-item");
    if (isFirst && (place || this.#groupOf(item).dataset.group === "today")) return;
    const focused = item.contains(document.activeElement) ? document.activeElement : null;
    if (place) place.prepend(item);
    else this.#toTop(item);
    focused?.focus();
  }

  // Takes an item out; what has the focus then.
  remove(item) {
    const items = this.items();
    const index = items.indexOf(item);
    this.#takeOut(item);
    const neighbour = items[index + 1] ?? items[index - 1];
    if (!neighbour) this.refresh();
    return neighbour?.querySelector(".side-link") ?? this.#element;
  }

  markCurrent() {
    this.#describe();
    for (const link of this.#element.querySelectorAll(".side-link")) {
      if (link.pathname === location.pathname) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  // Whose menu a button opens. (Ids would be a tenth of the page.)
  #describe() {
    for (const item of this.items()) {
      const link = item.querySelector(".side-link");
      link.id = `side-${item.dataset.id}`;
      item.querySelector("[data-do=menu]").setAttribute("aria-describedby", link.id);
    }
  }

  #toTop(item) {
    if (item.isConnected) this.#takeOut(item);
    let today = this.#element.querySelector('[data-group="today"]');
    if (!today) {
      const template = document.getElementById("side-today");
      today = template.content.firstElementChild.cloneNode(true);
      this.#days.prepend(today);
    }
    today.querySelector("ul").prepend(item);
  }

  #takeOut(item) {
    const group = this.#groupOf(item);
    const shelf = item.closest(".side-shelf");
    item.remove();
    if (!group.querySelector(".side-item")) group.remove();
    const count = shelf?.querySelector(".side-count");
    if (count) count.textContent = String(Number(count.textContent) - 1);
    if (count?.textContent === "0") shelf.remove();
  }

  // Where the days are, below what is pinned and the folders.
  get #days() {
    return this.#element.querySelector(".side-days") ?? this.#element;
  }

  #groupOf(item) {
    return item.closest(".side-group");
  }

  // The piece's HTML; null if a later question has overtaken this one, or it did not work.
  async #ask(fields) {
    this.#asked.abort();
    this.#asked = new AbortController();
    return this.#fetch(fields, this.#asked.signal);
  }

  async #fetch(fields, signal) {
    try {
      return await get(`${this.#url}?${new URLSearchParams(fields)}`, signal);
    } catch (error) {
      if (!(error instanceof Refused || error.name === "AbortError")) throw error;
      if (error instanceof Refused) this.say(error.message);
      if (error.status === 401) this.clear();
      return null;
    }
  }
}

// The fields that ask for a shelf, or for the one that a "Show more" is of.
function shelfOf({ dataset }) {
  if (dataset.archived) return { archived: 1 };
  return dataset.folder ? { folder: dataset.folder } : {};
}

const nameOf = ({ dataset }) => dataset.folder ?? "";
