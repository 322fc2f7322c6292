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
  }

  items() {
    return [...this.#element.querySelectorAll(".side-item")];
  }

  say(text) {
    this.#status.textContent = text;
  }

  // The list anew, for a search or without one.
  async refresh(query = this.#query) {
    this.#query = query;
    const html = await this.#ask({ q: query });
    if (html === null) return;
    this.#element.innerHTML = html;
    this.#element.scrollTop = 0;
    this.markCurrent();
    const count = this.items().length;
    const more = this.#element.querySelector(".side-more");
    const found = more
      ? gettext("More than %s conversations found")
      : ngettext("%s conversation found", "%s conversations found", count);
    this.say(query ? interpolate(found, [count]) : "");
  }

  // What follows; a piece that begins within the last group goes on with it.
  async showMore(button) {
    button.disabled = true;
    const html = await this.#ask({ q: this.#query, after: button.dataset.after });
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
    const last = [...this.#element.querySelectorAll(".side-group")].pop();
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
    link.id = `side-${id}`;
    link.href = `/c/${id}/`;
    link.textContent = title.replace(/\s+/g, " ").trim() || gettext("Untitled");
    for (const tool of item.querySelectorAll(".side-tool")) {
      tool.setAttribute("aria-describedby", link.id);
    }
    this.#element.querySelector(".side-none")?.remove();
    this.#toTop(item);
    this.markCurrent();
  }

  // It was written in: now it is the newest one.
  touch(id) {
    if (this.#query) return;
    const item = this.items().find((other) => other.dataset.id === id);
    if (!item) this.refresh();
    else if (item !== this.items()[0] || this.#groupOf(item).dataset.group !== "today") {
      const focused = item.contains(document.activeElement) ? document.activeElement : null;
      this.#toTop(item);
      focused?.focus();
    }
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
    for (const link of this.#element.querySelectorAll(".side-link")) {
      if (link.pathname === location.pathname) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  #toTop(item) {
    if (item.isConnected) this.#takeOut(item);
    let today = this.#element.querySelector('[data-group="today"]');
    if (!today) {
      const template = document.getElementById("side-today");
      today = template.content.firstElementChild.cloneNode(true);
      this.#element.prepend(today);
    }
    today.querySelector("ul").prepend(item);
  }

  #takeOut(item) {
    const group = this.#groupOf(item);
    item.remove();
    if (!group.querySelector(".side-item")) group.remove();
  }

  #groupOf(item) {
    return item.closest(".side-group");
  }

  // The piece's HTML; null if a later question has overtaken this one, or it did not work.
  async #ask(fields) {
    this.#asked.abort();
    this.#asked = new AbortController();
    try {
      return await get(`${this.#url}?${new URLSearchParams(fields)}`, this.#asked.signal);
    } catch (error) {
      if (error instanceof Refused) this.say(error.message);
      if (error.status === 401) this.clear();
      else if (error.name !== "AbortError") throw error;
      return null;
    }
  }
}
