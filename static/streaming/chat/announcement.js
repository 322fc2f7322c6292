// What an operator tells all users: above the page's header, until it ends or the reader closes it.

import { gettext } from "../shared/i18n.js";

const KEY = "chatstream.announcement"; // the one that was closed, in this browser

export class Announcement {
  #place = document.getElementById("announcement");
  #shown = null;

  // announcement: { id, text, level }, or null when there is none any more
  show(announcement) {
    if (announcement && closed() === announcement.id) announcement = null;
    if (!this.#place || announcement?.id === this.#shown) return;
    this.#shown = announcement?.id;
    this.#place.replaceChildren(...(announcement ? this.#parts(announcement) : []));
  }

  #parts({ id, text, level }) {
    this.#loadStyle();
    const line = document.createElement("div");
    line.className = "announcement";
    line.dataset.level = level;
    const words = document.createElement("p");
    words.dir = "auto";
    const kind = document.createElement("strong");
    kind.textContent = kindText(level);
    words.append(kind, " ", text);
    const close = document.createElement("button");
    close.type = "button";
    close.className = "announcement-close";
    close.textContent = "×";
    close.title = gettext("Close");
    close.setAttribute("aria-label", gettext("Close"));
    close.addEventListener("click", () => {
      keepClosed(id);
      this.show(null);
      document.getElementById("prompt")?.focus();
    });
    line.append(words, close);
    return [line];
  }

  #loadStyle() {
    if (!this.#place.dataset.style) return;
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = this.#place.dataset.style;
    document.head.append(link);
    delete this.#place.dataset.style;
  }
}

function kindText(level) {
  if (level === "problem") return gettext("Problem:");
  return level === "warning" ? gettext("Warning:") : gettext("Notice:");
}

// Storage may be switched off: then it is closed as long as the page.
let closedHere = null;

function closed() {
  try {
    return Number(localStorage.getItem(KEY)) || closedHere;
  } catch {
    return closedHere;
  }
}

function keepClosed(id) {
  closedHere = id;
  try {
    localStorage.setItem(KEY, id);
  } catch {
    // as above
  }
}
