// One prompt and its answer as elements of the page, made from templates/streaming/turn.html.

import { showAllText, showLessText } from "../shared/words.js";
import { showVersions } from "./versions.js";

// A longer prompt is clamped, so that the answer below it can be seen.
const LONG_CHARS = 1500;
const LONG_LINES = 20;

const EMPTY = {
  text: "",
  attachments: [], // parts of the prompt that are no text, as they are sent
  previous: null,
  versions: [],
  prompts: [],
  continues: null,
  rating: 0,
  reasoning_ms: 0,
  trimmed_messages: 0,
  done: null,
};

export class TurnView {
  constructor(element) {
    this.element = element;
    this.answer = element.querySelector(".answer");
    const details = element.querySelector('script[type="application/json"]');
    this.details = { ...EMPTY, ...(details && JSON.parse(details.textContent)) };
    details?.remove();
    this.#clamp();
  }

  // attachments: { parts, element } of the prompt, if there are any
  static create(prompt, details = {}, attachments) {
    const template = document.getElementById("turn");
    const view = new TurnView(template.content.firstElementChild.cloneNode(true));
    Object.assign(view.details, details);
    view.attachments = attachments;
    view.prompt = prompt;
    return view;
  }

  // What came with the prompt, to be shown with another one; null for nothing.
  get attachments() {
    const { attachments: parts } = this.details;
    return parts.length ? { parts, element: this.find(".attachments").cloneNode(true) } : null;
  }

  set attachments(attachments) {
    this.details.attachments = attachments?.parts ?? [];
    if (attachments) this.find(".bubble").before(attachments.element);
  }

  get id() {
    return this.answer.dataset.responseId;
  }

  set id(id) {
    this.answer.dataset.responseId = id;
  }

  get prompt() {
    return this.find(".bubble").textContent;
  }

  // Empty where a program sent results of functions instead, or nothing but files.
  set prompt(text) {
    this.find(".bubble").textContent = text;
    this.toggle(".bubble", text !== "");
    this.toggle(".prompt", text !== "" || this.find(".attachments") !== null);
    this.#clamp();
  }

  // Shows all of a clamped prompt, or its beginning again.
  toggleWhole() {
    this.#showWhole(this.find(".bubble").classList.contains("clamped"));
  }

  #clamp() {
    const { prompt } = this;
    const isLong = prompt.length > LONG_CHARS || prompt.split("\n", LONG_LINES + 1).length > LONG_LINES;
    this.toggle(".more", isLong);
    this.#showWhole(!isLong);
  }

  #showWhole(isWhole) {
    const more = this.find(".more");
    this.find(".bubble").classList.toggle("clamped", !isWhole);
    more.textContent = isWhole ? showLessText() : showAllText();
    more.setAttribute("aria-expanded", String(isWhole));
  }

  get status() {
    return this.answer.dataset.status;
  }

  set status(status) {
    this.answer.dataset.status = status;
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  // A line of the answer: hidden when it says nothing.
  show(selector, text, inside = selector) {
    const line = this.find(selector);
    line.hidden = !text;
    const target = inside === selector ? line : line.querySelector(inside);
    if (target.textContent !== text) target.textContent = text;
  }

  toggle(selector, isShown) {
    this.find(selector).hidden = !isShown;
  }

  showVersions(id) {
    showVersions(this, id);
  }

  showRating() {
    for (const [selector, rating] of [
      [".like", 1],
      [".dislike", -1],
    ]) {
      const isPressed = this.details.rating === rating;
      this.find(selector).setAttribute("aria-pressed", String(isPressed));
    }
  }
}
