// The instructions in the drawer: of the conversation on the page and, for an account, of all. They
// are read whenever the drawer opens, and saved when a field is left or the drawer closes.

import { get, post } from "../shared/request.js";
import { wellFormed } from "../shared/text.js";
import { countText, notSavedText, savedText, tooLongText, withFirstText } from "./drawer_words.js";

const COUNT_FROM = 0.8; // of the limit

export class InstructionFields {
  #settings;
  #dialog;
  #conversation;
  #account = null; // a visitor has none
  #without;

  constructor(dialog, settings) {
    this.#dialog = dialog;
    this.#settings = settings;
    this.#without = dialog.querySelector("#i-without");
    this.#conversation = new Field(dialog, "conversation", (text) => this.#keepOwn(text));
    if (dialog.querySelector("#i-account")) {
      this.#account = new Field(dialog, "account", keepOfAccount);
      this.#account.onInput = () => this.#showWithout();
    }
    this.#conversation.onInput = () => this.#showWithout();
    this.#without.addEventListener("change", () => this.#conversation.save(true));
    this.#addressLogin();
  }

  async load() {
    const { conversationId: id } = this.#settings;
    this.#all.forEach((field) => field.wait());
    try {
      const query = id ? `?conversation=${id}` : "";
      const told = JSON.parse(await get(`/instructions/${query}`));
      const own = id ? told.conversation : this.#settings.opening;
      this.#without.checked = own !== null && !own.trim();
      this.#conversation.show(own ?? "", told.limit);
      this.#account?.show(told.account ?? "", told.limit);
      this.#dialog.querySelector("#i-operator").hidden = !told.operator;
      if (id) this.#settings.instructed = Boolean(own?.trim());
    } catch (error) {
      this.#all.forEach((field) => field.fail(error.message));
    }
    this.#showWithout();
  }

  save() {
    this.#all.forEach((field) => field.save());
  }

  get #all() {
    return [this.#conversation, this.#account].filter(Boolean);
  }

  // What takes the place of the account's can also be nothing.
  #showWithout() {
    const isPossible = this.#account?.text.trim() && !this.#conversation.text.trim();
    this.#without.closest("label").hidden = !isPossible;
  }

  async #keepOwn(text) {
    const { conversationId: id } = this.#settings;
    const without = this.#account && this.#without.checked ? "" : null;
    const own = text.trim() ? text : without;
    if (!id) {
      this.#settings.opening = own;
      return own === null ? "" : withFirstText();
    }
    await post(`/c/${id}/instructions/`, own === null ? { text: "", inherits: 1 } : { text: own });
    this.#settings.instructed = Boolean(own?.trim());
    return savedText();
  }

  // Back to this page.
  #addressLogin() {
    const link = this.#dialog.querySelector("#i-login a");
    if (!link) return;
    link.addEventListener("click", () => {
      const here = encodeURIComponent(location.pathname + location.search);
      link.href = `${this.#settings.loginUrl}?next=${here}`;
    });
  }
}

async function keepOfAccount(text) {
  await post("/instructions/", { text });
  return savedText();
}

// One text with its count and what became of it.
class Field {
  onInput = () => {};
  #box;
  #said;
  #count;
  #keep;
  #kept = ""; // as the server has it
  #limit = Infinity;
  #isKnown = false;

  // keep(text): promises what to say of it
  constructor(dialog, name, keep) {
    this.#box = dialog.querySelector(`#i-${name}`);
    this.#said = dialog.querySelector(`#w-${name}`);
    this.#count = dialog.querySelector(`#n-${name}`);
    this.#keep = keep;
    this.#box.addEventListener("input", () => this.#changed());
    this.#box.addEventListener("change", () => this.save());
  }

  get text() {
    return wellFormed(this.#box.value);
  }

  wait() {
    this.#isKnown = false;
    this.#box.readOnly = true;
    this.#box.setAttribute("aria-busy", "true");
    this.#say("");
  }

  // What could not be saved stays in the box.
  show(text, limit) {
    const isUnsaved = this.text !== this.#kept;
    this.#limit = limit;
    this.#kept = text;
    if (!isUnsaved) this.#box.value = text;
    this.#isKnown = true;
    this.#box.readOnly = false;
    this.#box.removeAttribute("aria-busy");
    this.#changed();
  }

  fail(why) {
    this.#box.removeAttribute("aria-busy");
    this.#say(why, true);
  }

  async save(isForced = false) {
    const { text } = this;
    if (!this.#isKnown || this.#isTooLong || (text === this.#kept && !isForced)) return;
    const before = this.#kept;
    this.#kept = text; // a second event for the same text saves nothing
    try {
      this.#say(await this.#keep(text));
    } catch (error) {
      if (this.#kept === text) this.#kept = before;
      this.#say(notSavedText(error.message), true);
    }
  }

  get #length() {
    return [...this.#box.value].length;
  }

  get #isTooLong() {
    return this.#length > this.#limit;
  }

  #changed() {
    const length = this.#length;
    const isTooLong = length > this.#limit;
    this.#box.setAttribute("aria-invalid", String(isTooLong));
    const isNear = length > this.#limit * COUNT_FROM;
    this.#count.textContent = isNear ? countText(length, this.#limit) : "";
    this.#say(isTooLong ? tooLongText(length, this.#limit) : "", isTooLong);
    this.onInput();
  }

  #say(text, isWrong = false) {
    this.#said.textContent = text;
    this.#said.classList.toggle("wrong", isWrong);
  }
}
