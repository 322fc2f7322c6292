// The state of one response and what it means for its turn on the page. It sends nothing.

import { AnswerState } from "./answer_state.js";
import { Content } from "./content.js";
import { EarlierPart } from "./earlier_part.js";
import { Place } from "./place.js";
import { CUT, showButtons } from "./turn_buttons.js";
import { TurnView } from "./turn_view.js";
import { withVersion } from "./versions.js";
import * as words from "../shared/words.js";

const OPEN = ["queued", "in_progress"]; // as the server says it
const ENDS = ["response.completed", "response.incomplete", "response.failed"];
const NONE = { versions: [], prompts: [] };

export class Answer {
  state; // where it is on its way: an AnswerState
  place = null; // the last Place that was told
  task = {}; // what `response.create` asks for, but for a new prompt: regenerates or continues
  params = {};
  lastSequence = 0; // on the present socket
  edit = null; // the text that the waiting prompt is to be changed to
  replaced = null; // what this answer stands in the place of, until the server has it
  isLast = false;
  textId; // the response to continue: the last one that wrote or thought something of it
  #earlier = new EarlierPart(); // what it continues
  #begun = false;
  #told = new Set(); // of its parts, to those who hear the page

  // state: for one that this page has made; without it, it is one that the server has
  constructor(view, state = null) {
    const { text, continues, trimmed_messages: trimmed, done } = view.details;
    const isOpen = OPEN.includes(view.status);
    this.view = view;
    this.content = new Content(view);
    if (isOpen) this.items.keep();
    this.#be(state ?? new AnswerState(isOpen ? "resuming" : "ended", true));
    if (continues && isOpen) this.#earlier = EarlierPart.rendered(text, this.thought);
    this.textId = this.#earlier.isEmpty ? this.id : continues;
    view.show(".note", words.trimmedNote(trimmed));
    this.#showDone(done);
    view.showRating();
    showButtons(this);
  }

  // attachments: as of TurnView
  static create(id, prompt, { task = {}, params = {}, before = NONE, previous, attachments } = {}) {
    const versions = withVersion(before, id, task.regenerates);
    const view = TurnView.create(prompt, { ...versions, previous }, attachments);
    view.id = id;
    view.status = "queued";
    const answer = new Answer(view, new AnswerState("draft"));
    answer.task = task;
    answer.params = params;
    showButtons(answer);
    return answer;
  }

  // The same turn goes on under another id.
  goOn(id, params) {
    const { id: oldId, status, state, lastSequence } = this;
    const { done, versions } = this.view.details;
    this.replaced = { id: oldId, status, task: this.task, state, lastSequence, done, versions };
    this.#earlier = EarlierPart.of(this.text.source, this.thought, done);
    this.items.keep();
    const task = { continues: this.textId };
    Object.assign(this, { task, params, lastSequence: 0, place: null });
    this.#begun = false;
    this.#told.clear();
    this.view.details.versions = versions.map((version) => (version === oldId ? id : version));
    this.view.id = id;
    this.#showDone(null);
    this.#be(new AnswerState("draft"));
    this.status = "queued";
  }

  // The server did not take the continuation: the turn is again what it was.
  goBack() {
    const { id, status, task, state, lastSequence, done, versions } = this.replaced;
    Object.assign(this, { task, lastSequence, replaced: null });
    this.view.details.versions = versions;
    this.view.id = id;
    this.#earlier = new EarlierPart();
    this.text.rest();
    this.#showDone(done);
    this.showWait("");
    this.#be(state);
    this.status = status;
  }

  #be(state) {
    this.state = state;
    state.onChange = (name) => (this.view.answer.dataset.state = name);
  }

  get text() {
    return this.content.text;
  }

  get thought() {
    return this.content.thought;
  }

  get items() {
    return this.content.items;
  }

  get id() {
    return this.view.id;
  }

  get prompt() {
    return this.view.prompt;
  }

  get status() {
    return this.view.status;
  }

  set status(status) {
    this.view.status = status;
    showButtons(this);
  }

  get isOpen() {
    return !this.state.is("ended");
  }

  get waits() {
    return this.status === "queued";
  }

  // It is on the server, was, or will be: others can refer to it.
  get isKept() {
    return this.state.isKnown || this.isOpen;
  }

  // The present socket has been asked for it.
  get isAsked() {
    return !this.state.is("draft", "resuming");
  }

  // Not while nobody knows whether the server has the prompt, nor if it has an answer already.
  get mayEdit() {
    const { regenerates, continues } = this.task;
    const isTied = regenerates || continues || !(this.state.is("draft") || this.state.isKnown);
    return this.prompt !== "" && (!this.waits || !isTied);
  }

  // False for an event that was seen on this socket before.
  isNew({ type, sequence_number: number }) {
    if (ENDS.includes(type)) return this.isOpen; // from the record, its number means nothing
    if (!number) return true; // tells how it stands
    if (type !== "response.in_progress" && number <= this.lastSequence) return false;
    this.lastSequence = number;
    return true;
  }

  // told: a `response.queued` or `chatstream:queue_position`
  setPlace(told) {
    const place = new Place(told, this.place);
    if (!this.waits || !this.state.to(place.isHeld ? "held" : "queued")) return;
    this.place = place;
  }

  start({ response }) {
    if (!this.state.to("running")) return;
    this.#begun = true;
    this.status = "in_progress";
    this.content.begin(this.#earlier);
    this.view.show(".note", words.trimmedNote(response.chatstream.trimmed_messages));
    this.showWait("");
  }

  // True for the first of it that this page tells.
  think(event) {
    this.content.think(event);
    return this.#isNews("thought");
  }

  append(event) {
    this.content.write(event);
    return this.#isNews("text");
  }

  // outcome: as of `outcomeOf`; event: with the blocks of the text
  finish(outcome, event) {
    if (!this.state.to("ended")) return;
    if (outcome.text || outcome.reasoning) this.textId = this.id;
    this.content.end(this.#earlier, outcome, event);
    this.showWait("");
    this.#showDone({ ...this.#earlier.added(outcome), began: this.#begun });
    this.status = outcome.status;
  }

  // The server did not take the prompt, or nobody can say what became of it.
  fail(message) {
    if (!this.state.to("ended")) return;
    this.content.rest();
    this.showWait("");
    this.view.show(".meta", message, ".meta-text");
    this.status = "failed";
  }

  interrupt(isInterrupted) {
    this.content.interrupt();
    if (this.isAsked) this.state.to("resuming");
    this.lastSequence = 0; // a new socket tells all from the beginning
    this.view.answer.toggleAttribute("data-interrupted", isInterrupted);
    const isCut = isInterrupted && !this.waits;
    this.view.show(".meta", isCut ? words.interruptedText() : "", ".meta-text");
  }

  // isBound: it cannot be withdrawn now
  showWait(text, isBound = false) {
    this.view.show(".wait", text, ".wait-text");
    this.view.find(".withdraw").disabled = isBound;
  }

  get isBlank() {
    return this.content.isBlank;
  }

  set last(isLast) {
    if (this.isLast === isLast) return;
    this.isLast = isLast;
    showButtons(this);
  }

  #showDone(done) {
    this.view.details.done = done;
    this.thought.isStopped = this.isBlank && CUT.includes(done?.status);
    const text = done ? words.doneText(done, this.isBlank, !this.thought.isBlank) : "";
    this.view.show(".meta", text, ".meta-text");
  }

  #isNews(part) {
    const isNews = !this.#told.has(part);
    this.#told.add(part);
    return isNews;
  }

  // The server has it.
  confirm() {
    this.state.know();
    this.replaced = null;
    showButtons(this);
  }
}
