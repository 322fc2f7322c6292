// The panel of the answers' settings. Only valid values are kept, and sent with each prompt.

import { rangeText, stopRangeText } from "../shared/words.js";

const KEY = "chatstream.settings";

export class Settings {
  #dialog = document.getElementById("settings");
  #open = document.getElementById("tune");
  #fields = [...this.#dialog.querySelectorAll("input, textarea, select")];
  #effort = this.#dialog.querySelector("[name=reasoning_effort]");

  constructor() {
    this.#open.addEventListener("click", () => this.#dialog.showModal());
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close(); // beside the panel
    });
    this.#dialog.addEventListener("close", () => this.#tidy());
    document.getElementById("settings-reset").addEventListener("click", () => this.#reset());
    for (const field of this.#fields) {
      field.addEventListener("input", () => this.#changed(field));
      field.dataset.default = field.placeholder ?? "";
    }
    this.#read();
    this.#showRanges();
  }

  // The `params` of `response.create`: what differs from the server's defaults.
  get params() {
    const { reasoning_effort: effort, ...params } = this.#chosen;
    const isAsked = effort && !this.#effort.closest(".field").hidden;
    return isAsked ? { ...params, reasoning_effort: effort } : params;
  }

  get #chosen() {
    const chosen = {};
    for (const field of this.#fields) {
      const value = valueOf(field);
      if (value !== undefined && isValid(field)) chosen[field.name] = value;
    }
    return chosen;
  }

  // The model has been greeted: whether it thinks, and what it takes for a field that is empty.
  learn({ thinks = false, sampling = {} }) {
    this.#effort.closest(".field").hidden = !thinks;
    for (const field of this.#fields) {
      if (field === this.#effort || field.name === "max_tokens") continue;
      field.placeholder = sampling[field.name] ?? field.dataset.default;
    }
    this.#mark();
  }

  // It has thought, which of a server elsewhere nobody knew at the greeting.
  hasThought() {
    if (!this.#effort.closest(".field").hidden) return;
    this.#effort.closest(".field").hidden = false;
    this.#mark();
  }

  set maxTokens(most) {
    const field = this.#dialog.querySelector("[name=max_tokens]");
    field.max = field.placeholder = most;
    this.#showRanges();
    this.#changed(field);
  }

  #changed(field) {
    const isWrong = !isValid(field);
    field.setAttribute("aria-invalid", String(isWrong));
    try {
      const kept = this.#chosen;
      if (Object.keys(kept).length) localStorage.setItem(KEY, JSON.stringify(kept));
      else localStorage.removeItem(KEY);
    } catch {
      // Switched off: the settings live as long as the page.
    }
    this.#mark();
  }

  #mark() {
    this.#open.classList.toggle("tuned", Object.keys(this.params).length > 0);
  }

  #read() {
    let kept = {};
    try {
      kept = JSON.parse(localStorage.getItem(KEY)) ?? {};
    } catch {
      // Damaged or switched off: the defaults hold.
    }
    for (const field of this.#fields) {
      const value = kept[field.name];
      if (isText(field)) field.value = Array.isArray(value) ? value.join("\n") : "";
      else if (isChoice(field)) choose(field, value);
      else field.value = Number.isFinite(value) ? value : "";
      if (!isValid(field)) field.value = "";
      field.setAttribute("aria-invalid", "false");
    }
    this.#effort.closest(".field").hidden = !this.#effort.value; // until the model is known
    this.#mark();
  }

  // What is wrong does not wait, unseen, for the next visit.
  #tidy() {
    for (const field of this.#fields) {
      if (isValid(field)) continue;
      field.value = "";
      this.#changed(field);
    }
    this.#open.focus();
  }

  #reset() {
    for (const field of this.#fields) {
      field.value = "";
      this.#changed(field);
    }
  }

  #showRanges() {
    for (const field of this.#fields) {
      if (isChoice(field)) continue;
      const range = field.parentElement.querySelector(".range");
      range.textContent = isText(field)
        ? stopRangeText(field.dataset.maxLines, field.dataset.maxChars)
        : rangeText(Number(field.min), Number(field.max), "whole" in field.dataset);
    }
  }
}

const isText = (field) => field.localName === "textarea";

const isChoice = (field) => field.localName === "select";

function choose(field, value) {
  field.value = value;
  if (field.selectedIndex < 0) field.value = "";
}

// Undefined for an empty field: the default holds.
function valueOf(field) {
  if (isText(field)) {
    const lines = field.value.split("\n").filter((line) => line !== "");
    return lines.length ? lines : undefined;
  }
  if (field.value === "") return undefined;
  return isChoice(field) ? field.value : Number(field.value);
}

function isValid(field) {
  if (isText(field)) {
    const { maxLines, maxChars } = field.dataset;
    const lines = valueOf(field) ?? [];
    return lines.length <= maxLines && lines.every((line) => [...line].length <= maxChars);
  }
  if (isChoice(field)) return true;
  if (field.validity.badInput) return false;
  const value = valueOf(field);
  if (value === undefined) return true;
  if ("whole" in field.dataset && !Number.isSafeInteger(value)) return false;
  return value >= Number(field.min) && value <= Number(field.max);
}
