// One prompt and its answer on the page. It shows what the events say and sends nothing.

import { doneText, etaText, placeText, trimmedNote } from "./words.js";

const OPEN = ["queued", "in_progress"];

export class Answer {
  place = null; // the last { position, size, workers, startsAt }
  submitted = false; // on the present socket
  sent = false; // on any
  confirmed = false; // the server has it
  lastSequence = 0;
  #pending = "";
  #frame = null;

  // turn: the element made from templates/streaming/turn.html
  constructor(turn) {
    this.turn = turn;
    this.element = turn.querySelector(".answer");
    this.promptText = turn.querySelector(".bubble").textContent;
    this.onGrow = () => {};
    this.#statusChanged();
  }

  static create(id, promptText) {
    const template = document.getElementById("turn");
    const turn = template.content.firstElementChild.cloneNode(true);
    turn.querySelector(".bubble").textContent = promptText;
    const answer = new Answer(turn);
    answer.element.dataset.responseId = id;
    answer.status = "queued";
    return answer;
  }

  get id() {
    return this.element.dataset.responseId;
  }

  get status() {
    return this.element.dataset.status;
  }

  set status(status) {
    this.element.dataset.status = status;
    this.#statusChanged();
  }

  get isOpen() {
    return OPEN.includes(this.status);
  }

  // False for an event that was seen before. What is missing is repaired by `response.done`.
  isNew({ type, sequence_number: number }) {
    if (type === "response.in_progress") this.#restart();
    else if (number <= this.lastSequence) return false;
    this.lastSequence = number;
    return true;
  }

  // A second `response.in_progress` means that the answer begins anew.
  #restart() {
    this.#flush();
    this.element.querySelector(".text").textContent = "";
  }

  setPlace({ position, size, workers, eta_seconds: eta }) {
    if (this.status !== "queued") return;
    const startsAt = eta === null ? null : Date.now() + eta * 1000;
    this.place = { position, size, workers, startsAt };
  }

  start({ trimmed_messages: trimmed }) {
    this.status = "in_progress";
    if (trimmed > 0) this.#show(".note", trimmedNote(trimmed));
    this.showWait("");
  }

  // At most one change of the page per frame, however fast the tokens come.
  append(delta) {
    this.#pending += delta;
    this.#frame ??= requestAnimationFrame(() => this.#flush());
  }

  finish(event) {
    this.#flush();
    const text = this.element.querySelector(".text");
    if (text.textContent !== event.text) text.textContent = event.text;
    this.status = event.status;
    this.showWait("");
    this.#show(".meta", doneText(event), ".meta-text");
  }

  // The server did not take the prompt, or nobody can say what became of it.
  fail(message) {
    this.#flush();
    this.status = "failed";
    this.showWait("");
    this.#show(".meta", message, ".meta-text");
  }

  interrupt(interrupted) {
    this.#flush();
    this.submitted = false;
    this.element.toggleAttribute("data-interrupted", interrupted);
    this.#show(".meta", interrupted ? "Interrupted: the connection was lost" : "", ".meta-text");
  }

  showWait(text) {
    this.#show(".wait", text, ".wait-text");
  }

  placeText() {
    return this.place ? placeText(this.place) : "Sending";
  }

  etaText() {
    return this.place ? etaText(this.place) : "";
  }

  #statusChanged() {
    this.element.toggleAttribute("data-open", this.isOpen);
    this.element.querySelector(".retry").hidden = this.status !== "failed";
  }

  #flush() {
    if (this.#frame !== null) cancelAnimationFrame(this.#frame);
    this.#frame = null;
    if (!this.#pending) return;
    this.element.querySelector(".text").append(this.#pending);
    this.#pending = "";
    this.onGrow();
  }

  #show(selector, text, inside = selector) {
    const element = this.element.querySelector(selector);
    element.hidden = !text;
    const target = inside === selector ? element : element.querySelector(inside);
    if (target.textContent !== text) target.textContent = text;
  }
}
