// The state of one response and what it means for its turn on the page. It sends nothing.

import { Blocks } from "./blocks.js";
import { isBlank } from "../shared/text.js";
import { Thought } from "./thought.js";
import { TurnView } from "./turn_view.js";
import { withVersion } from "./versions.js";
import * as words from "../shared/words.js";

const OPEN = ["queued", "in_progress"];
const WRITTEN = ["completed", "incomplete"]; // by the model, to its end
const CUT = ["incomplete", "cancelled", "failed"];
const NONE = { versions: [], prompts: [] };
const NOTHING = { tokens: 0, ms: 0, thoughtMs: 0 };

export class Answer {
  place = null; // the last { position, size, service, startsAt }
  task = {}; // what `response.create` asks for, but for a new prompt: regenerates or continues
  params = {};
  submitted = false; // on the present socket
  sent = false; // on any
  confirmed = false; // the server has it
  lastSequence = 0; // on the present socket
  edit = null; // the text that the waiting prompt is to be changed to
  replaced = null; // what this answer stands in the place of, until the server has it
  isLast = false;
  textId; // the response to continue: the last one that wrote or thought something of it
  #prefix = ""; // the text that it continues
  #thoughtPrefix = ""; // and the thought
  #spent = NOTHING; // on both
  #begun = false;
  #told = new Set(); // of its parts, to those who hear the page

  constructor(view) {
    const { text, continues, trimmed_messages: trimmed, done, reasoning_ms: ms } = view.details;
    this.view = view;
    this.text = new Blocks(view.find(".text"), text);
    this.thought = new Thought(view.find(".thought"), ms);
    if (continues && this.isOpen) {
      this.#prefix = text;
      this.#thoughtPrefix = this.thought.source;
      this.#spent = { ...NOTHING, thoughtMs: ms };
    }
    this.textId = this.#prefix || this.#thoughtPrefix ? continues : this.id;
    view.show(".note", words.trimmedNote(trimmed));
    this.#showDone(done);
    view.showVersions(this.id);
    view.showRating();
    this.#statusChanged();
  }

  static create(id, prompt, { task = {}, params = {}, before = NONE, previous = null } = {}) {
    const versions = withVersion(before, id, task.regenerates);
    const view = TurnView.create(prompt, { ...versions, previous });
    view.id = id;
    view.status = "queued";
    const answer = new Answer(view);
    answer.task = task;
    answer.params = params;
    answer.#statusChanged();
    return answer;
  }

  // The same turn goes on under another id.
  goOn(id, params) {
    const { id: oldId, status, task, confirmed, lastSequence } = this;
    const { done, versions } = this.view.details;
    this.replaced = { id: oldId, status, task, confirmed, lastSequence, done, versions };
    this.#spent = {
      tokens: done?.usage.completion_tokens ?? 0,
      ms: done?.timings.total_ms ?? 0,
      thoughtMs: this.thought.ms,
    };
    this.#prefix = this.text.source;
    this.#thoughtPrefix = this.thought.source;
    this.task = { continues: this.textId };
    this.params = params;
    this.submitted = this.sent = this.confirmed = this.#begun = false;
    this.#told.clear();
    this.lastSequence = 0;
    this.place = null;
    this.view.details.versions = versions.map((version) => (version === oldId ? id : version));
    this.view.id = id;
    this.#showDone(null);
    this.status = "queued";
  }

  // The server did not take the continuation: the turn is again what it was.
  goBack() {
    const { id, status, task, confirmed, lastSequence, done, versions } = this.replaced;
    Object.assign(this, { task, confirmed, lastSequence, replaced: null, sent: true });
    this.view.details.versions = versions;
    this.view.id = id;
    this.#prefix = this.#thoughtPrefix = "";
    this.#spent = NOTHING;
    this.text.rest();
    this.#showDone(done);
    this.showWait("");
    this.status = status;
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
    this.#statusChanged();
  }

  get isOpen() {
    return OPEN.includes(this.status);
  }

  get waits() {
    return this.status === "queued";
  }

  // It is on the server, or was: others can refer to it.
  get isKept() {
    return this.confirmed || this.isOpen;
  }

  // False for an event that was seen on this socket before.
  isNew({ type, sequence_number: number }) {
    if (type === "response.done") return this.isOpen; // from the record, its number means nothing
    if (type !== "response.in_progress" && number <= this.lastSequence) return false;
    this.lastSequence = number;
    return true;
  }

  setPlace({ position, size, service = "ready", workers, eta_seconds: eta = null }) {
    if (!this.waits) return;
    const startsAt = eta === null ? null : Date.now() + eta * 1000;
    const isAway = workers === 0 && service !== "draining";
    this.place = { position, size, service: isAway ? "away" : service, startsAt };
  }

  start({ trimmed_messages: trimmed = 0 }) {
    this.#begun = true;
    this.status = "in_progress";
    this.thought.begin(this.#thoughtPrefix, this.#spent.thoughtMs);
    this.text.begin(this.#prefix);
    this.view.show(".note", words.trimmedNote(trimmed));
    this.showWait("");
  }

  // True for the first of it, unless it is told again only because the connection is new.
  think(event) {
    if (this.thought.add(event)) this.text.forget();
    this.thought.mayOpen = this.text.showsNothing;
    return this.#isNews("thought");
  }

  // The same.
  append(event) {
    this.thought.pause();
    this.text.add(event);
    return this.#isNews("text");
  }

  finish(event) {
    const { status, usage, timings, error, reasoning = "" } = event;
    const { tokens, ms, thoughtMs } = this.#spent;
    if (event.text || reasoning) this.textId = this.id;
    this.thought.end(this.#thoughtPrefix + reasoning, thoughtMs + (timings.reasoning_ms ?? 0));
    this.text.end(this.#prefix + event.text, event);
    this.showWait("");
    this.#showDone({
      status,
      usage: { completion_tokens: usage.completion_tokens + tokens },
      timings: { total_ms: timings.total_ms + ms },
      error,
      began: this.#begun,
    });
    this.status = status;
  }

  // The server did not take the prompt, or nobody can say what became of it.
  fail(message) {
    this.thought.rest();
    this.text.rest();
    this.showWait("");
    this.view.show(".meta", message, ".meta-text");
    this.status = "failed";
  }

  interrupt(isInterrupted) {
    this.thought.interrupt();
    this.text.flush();
    this.submitted = false;
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

  // isBehind: it follows another one that waits
  placeText(isOnline, isBehind = false) {
    if (!isOnline && !this.sent) return words.notSentText();
    if (this.place) return isOnline ? words.placeText(this.place) : words.lastPlaceText(this.place);
    return isBehind ? words.heldText() : words.sendingText();
  }

  // It is not in the order yet: another answer of the conversation is open.
  get isHeld() {
    return this.place?.position === null;
  }

  etaText() {
    return this.place ? words.etaText(this.place) : "";
  }

  // Nothing of it can be read, but for what was thought.
  get isBlank() {
    return isBlank(this.text.source);
  }

  // Its end stays in sight for who is there, and what is read stays where it is.
  scrollBy(scroll) {
    this.text.onGrow = this.thought.onGrow = () => scroll.follow();
    this.thought.onFold = (element, fold) => scroll.fold(element, fold);
    this.thought.onToggle = () => scroll.look();
  }

  set last(isLast) {
    if (this.isLast === isLast) return;
    this.isLast = isLast;
    this.#statusChanged();
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

  // Which buttons there are.
  #statusChanged() {
    const { view, isBlank: hasNothing } = this;
    const isRead = !this.isOpen && !hasNothing; // there is an answer to do something with
    view.answer.toggleAttribute("data-open", this.isOpen);
    view.toggle(".retry", !this.isOpen && hasNothing);
    view.toggle(".rewrite", WRITTEN.includes(this.status) && hasNothing);
    for (const selector of [".copy-answer", ".like", ".dislike", ".regenerate"]) {
      view.toggle(selector, isRead);
    }
    const hasBegun = this.text.source !== "" || this.thought.source !== "";
    const hasMore = CUT.includes(this.status) && hasBegun && this.isLast;
    view.toggle(".continue", hasMore);
    view.toggle(".answer-actions", isRead || hasMore || view.find(".answer-actions .versions"));
    const { regenerates, continues } = this.task; // their prompt has an answer already
    const isTied = Boolean(regenerates || continues) || (this.sent && !this.confirmed);
    view.toggle(".edit", !this.waits || !isTied);
    view.showVersions(this.id);
  }

  // The server has it.
  confirm() {
    this.confirmed = true;
    this.replaced = null;
    this.#statusChanged();
  }
}
