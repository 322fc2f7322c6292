// The drawer with instructions and sampling: at the side, on a phone from below. It is modal, so
// that the browser keeps the focus in it and Escape closes it.

import { defaultText, rangeText, stopRangeText } from "./drawer_words.js";
import { InstructionFields } from "./instructions.js";

export class Drawer {
  #dialog;
  #settings;
  #opener;
  #fields;
  #instructions;

  // html: of the server, with its style sheet, which is awaited; opener: the button that shows it
  static async create(html, settings, opener) {
    const fetched = document.createElement("template");
    fetched.innerHTML = html;
    const sheet = fetched.content.querySelector("link");
    const isStyled = new Promise((resolve) => {
      sheet.onload = sheet.onerror = resolve;
    });
    document.head.append(sheet);
    const dialog = fetched.content.querySelector("dialog");
    document.body.append(dialog);
    await isStyled;
    return new Drawer(dialog, settings, opener);
  }

  constructor(dialog, settings, opener) {
    this.#dialog = dialog;
    this.#settings = settings;
    this.#opener = opener;
    this.#instructions = new InstructionFields(dialog, settings);
    this.#fields = [...dialog.querySelectorAll("[name]")];
    for (const field of this.#fields) {
      field.dataset.default = field.placeholder ?? "";
      field.addEventListener("input", () => this.#changed(field));
    }
    dialog.querySelector("#settings-reset").addEventListener("click", () => this.#reset());
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close(); // beside the panel
    });
    dialog.addEventListener("close", () => this.#closed());
    settings.onChange = () => this.#showRules();
    this.#showRules();
  }

  show() {
    if (this.#dialog.open) return;
    for (const field of this.#fields) this.#showValue(field);
    this.#showRules();
    this.#dialog.showModal();
    this.#instructions.load();
  }

  #changed(field) {
    const value = valueOf(field);
    const isValid = !field.validity.badInput && this.#settings.keep(field.name, value);
    if (field.validity.badInput) this.#settings.keep(field.name, undefined);
    field.setAttribute("aria-invalid", String(!isValid));
    this.#showDefault(field);
  }

  #showValue(field) {
    const value = this.#settings.value(field.name);
    field.value = Array.isArray(value) ? value.join("\n") : (value ?? "");
    field.setAttribute("aria-invalid", "false");
  }

  // What is wrong does not wait, unseen, for the next time.
  #closed() {
    for (const field of this.#fields) this.#showValue(field);
    this.#instructions.save();
    this.#opener.focus();
  }

  #reset() {
    for (const field of this.#fields) {
      field.value = "";
      this.#changed(field);
    }
  }

  #showRules() {
    const { sampling, mayThink } = this.#settings;
    for (const field of this.#fields) {
      const rule = this.#settings.rule(field.name);
      if (rule.choices) field.closest(".field").hidden = !mayThink;
      else if (rule.lines) this.#showRange(field, stopRangeText(rule.lines, rule.characters));
      else {
        const { least, most, step, whole = false } = rule;
        Object.assign(field, { min: least, max: most, step });
        this.#showRange(field, rangeText(least, most, whole));
        const usual = field.name === "max_tokens" ? most : sampling[field.name];
        field.placeholder = usual ?? field.dataset.default;
      }
      this.#showDefault(field);
    }
  }

  #showRange(field, text) {
    field.closest(".field").querySelector(".range").textContent = text;
  }

  // An empty field shows it by itself.
  #showDefault(field) {
    const isShown = field.value !== "" && /^\d/.test(field.placeholder ?? "");
    const text = isShown ? defaultText(field.placeholder) : "";
    field.closest(".field").querySelector(".default").textContent = text;
  }
}

// Undefined for an empty field: the default holds.
function valueOf(field) {
  if (field.localName === "textarea") {
    const lines = field.value.split("\n").filter((line) => line !== "");
    return lines.length ? lines : undefined;
  }
  if (field.value === "") return undefined;
  return field.localName === "select" ? field.value : Number(field.value);
}
