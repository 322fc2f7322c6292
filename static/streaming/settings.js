// The panel of sampling settings. Only valid values are kept, and sent with each prompt.

import { rangeText, stopRangeText } from "./words.js";

const KEY = "chatstream.settings";

export class Settings {
  #dialog = document.getElementById("settings");
  #open = document.getElementById("tune");
  #fields = [...this.#dialog.querySelectorAll("input, textarea")];

  constructor() {
    this.#open.addEventListener("click", () => this.#dialog.showModal());
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close(); // beside the panel
    });
    this.#dialog.addEventListener("close", () => this.#tidy());
    document.getElementById("settings-reset").addEventListener("click", () => this.#reset());
    for (const field of this.#fields) field.addEventListener("input", () => this.#changed(field));
    this.#read();
    this.#showRanges();
  }

  // The `params` of `response.create`: what differs from the server's defaults.
  get params() {
    const params = {};
    for (const field of this.#fields) {
      const value = valueOf(field);
      if (value !== undefined && isValid(field)) params[field.name] = value;
    }
    return params;
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
      const kept = Object.entries(this.params);
      if (kept.length) localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(kept)));
      else localStorage.removeItem(KEY);
    } catch {
      // Switched off: the settings live as long as the page.
    }
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
      else field.value = Number.isFinite(value) ? value : "";
      if (!isValid(field)) field.value = "";
      field.setAttribute("aria-invalid", "false");
    }
    this.#open.classList.toggle("tuned", Object.keys(this.params).length > 0);
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
      const range = field.parentElement.querySelector(".range");
      range.textContent = isText(field)
        ? stopRangeText(field.dataset.maxLines, field.dataset.maxChars)
        : rangeText(Number(field.min), Number(field.max), "whole" in field.dataset);
    }
  }
}

const isText = (field) => field.localName === "textarea";

// Undefined for an empty field: the default holds.
function valueOf(field) {
  if (isText(field)) {
    const lines = field.value.split("\n").filter((line) => line !== "");
    return lines.length ? lines : undefined;
  }
  return field.value === "" ? undefined : Number(field.value);
}

function isValid(field) {
  if (isText(field)) {
    const { maxLines, maxChars } = field.dataset;
    const lines = valueOf(field) ?? [];
    return lines.length <= maxLines && lines.every((line) => [...line].length <= maxChars);
  }
  if (field.validity.badInput) return false;
  const value = valueOf(field);
  if (value === undefined) return true;
  if ("whole" in field.dataset && !Number.isSafeInteger(value)) return false;
  return value >= Number(field.min) && value <= Number(field.max);
}
