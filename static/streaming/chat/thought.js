// What a model thinks before it answers: a remark above the answer, open while it streams and
// folded when the answer begins. It is plain text, and put in as such.
//
// Once the reader has opened or closed it, it stays as it is.

import { GrowingText } from "./growing_text.js";
import { BETWEEN_THOUGHTS } from "./outcome.js";
import { isBlank } from "../shared/text.js";
import { durationText, stoppedThoughtText, thinkingText, thoughtText } from "../shared/words.js";

const AT_END = 2; // pixels from the end that count as there
const SECOND = 1_000; // ms
const MOMENT = 200; // ms in which a thought may be over before it is opened

export class Thought {
  source;
  mayOpen = false; // nothing of the answer is there yet
  onGrow = () => {};
  onFold = (element, fold) => fold();
  onToggle = () => {}; // by the reader
  #element;
  #label;
  #time;
  #box; // what scrolls
  #text; // what of the source stands in the box
  #seen = ""; // what stood there when the answer was begun again
  #before = 0; // milliseconds that were thought before this answer went on
  #index = null; // of the item that was heard last
  #ms; // as the server counts them, these included
  #heardAt = null; // when that was; null while the clock stands
  #isThinking = false;
  #isStopped = false;
  #begunAt = 0; // when it was first seen to think
  #wanted; // whether it is open; what differs from this was the reader's doing
  #isChosen = false;
  #follows = true;
  #top = 0; // where the box stood when it was last looked at
  #frame = null;
  #timer = null;

  // element: the `.thought` with what is stored; ms: how long that took
  constructor(element, ms) {
    this.#element = element;
    this.#label = element.querySelector(".thought-label");
    this.#time = element.querySelector(".thought-time");
    this.#box = element.querySelector(".thought-text");
    this.source = this.#box.textContent;
    this.#ms = ms;
    this.#wanted = element.open;
    this.#text = new GrowingText(this.#box);
    this.#text.show(this.source);
    this.#tell();
    element.addEventListener("toggle", () => this.#toggled());
    this.#box.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    const letGo = ({ deltaY }) => deltaY < 0 && this.#letGo();
    this.#box.addEventListener("wheel", letGo, { passive: true });
  }

  get isBlank() {
    return isBlank(this.source);
  }

  get ms() {
    return this.#ms;
  }

  // Its end never came.
  set isStopped(isStopped) {
    this.#isStopped = isStopped;
    this.#tell();
  }

  // It comes from its beginning; `prefix` is that of the answer that goes on, which took `ms`. What
  // is on the page stays until it differs: mostly it is the same, told again.
  begin(prefix, ms) {
    this.#seen = this.source.length > prefix.length ? this.source : "";
    this.source = prefix;
    this.#index = null;
    this.#before = ms;
  }

  // True if it is another one than what was here when the answer was begun again.
  add({ delta, output_index: index, chatstream: { reasoning_ms: ms = 0 } }) {
    if (delta && this.#index !== null && this.#index !== index) delta = BETWEEN_THOUGHTS + delta;
    this.#index = index;
    const isOld = this.#seen !== "" && this.#seen.startsWith(delta, this.source.length);
    const isOther = this.#seen !== "" && !isOld;
    this.source += delta;
    if (isOther) this.#seen = "";
    if (!isOld && !this.#isThinking) {
      this.#isThinking = true;
      this.#begunAt = performance.now();
    }
    if (!this.#isToldAgain) {
      this.#ms = this.#before + ms;
      this.#heardAt = performance.now();
    }
    this.#plan();
    return isOther;
  }

  // The answer begins or goes on.
  pause() {
    if (!this.#isThinking && !this.#seen) return;
    this.#seen = "";
    this.#rest();
    this.#plan();
  }

  // The whole is known.
  end(source, ms) {
    this.source = source;
    this.#ms = ms;
    this.rest();
  }

  // No more will come for now.
  rest() {
    this.#seen = "";
    this.#rest();
    this.flush();
  }

  // Nobody knows what it does while the connection is lost.
  interrupt() {
    this.#heardAt = null;
    this.flush();
  }

  flush() {
    if (this.#frame !== null) cancelAnimationFrame(this.#frame);
    this.#frame = null;
    if (!this.#isToldAgain) this.#text.show(this.source);
    this.#tell();
    if (!this.#isThinking) this.#fold();
    else if (this.mayOpen) this.#open();
    if (this.#follows) this.#toEnd();
    this.onGrow();
  }

  // As the reader has had it before the page was given the same again.
  keepAs(former) {
    if (!former.#isChosen) return;
    this.#isChosen = true;
    this.#element.open = this.#wanted = former.#wanted;
  }

  get #isToldAgain() {
    return this.#seen.length > this.source.length; // and begins with it
  }

  #rest() {
    this.#isThinking = false;
    this.#heardAt = null;
  }

  #plan() {
    this.#frame ??= requestAnimationFrame(() => this.flush());
  }

  // --- the line above it ---

  #tell() {
    this.#element.hidden = this.isBlank && !this.#seen;
    this.#element.parentElement.toggleAttribute("data-thinking", this.#isThinking);
    clearTimeout(this.#timer);
    const isClock = this.#isThinking && this.#heardAt !== null;
    if (isClock) this.#tick();
    else show(this.#time, "");
    show(this.#label, this.#labelText());
  }

  #labelText() {
    if (this.#isThinking) return thinkingText();
    return this.#isStopped ? stoppedThoughtText(this.#ms) : thoughtText(this.#ms);
  }

  // Between the server's words the time goes on.
  #tick() {
    if (!this.#element.isConnected) return; // the page shows something else
    const ms = this.#ms + performance.now() - this.#heardAt;
    show(this.#time, ms < SECOND ? "" : durationText(ms));
    this.#timer = setTimeout(() => this.#tick(), SECOND - (ms % SECOND));
  }

  // --- folding ---

  #open() {
    if (this.#isChosen || this.#element.open) return;
    const isBrief = performance.now() - this.#begunAt < MOMENT;
    if (isBrief) setTimeout(() => this.#plan(), MOMENT);
    else this.#element.open = this.#wanted = true;
  }

  #fold() {
    if (this.#isChosen || !this.#element.open) return;
    if (this.#isRead) {
      this.#isChosen = true;
      return;
    }
    this.#wanted = false;
    this.onFold(this.#element, () => {
      this.#element.open = false;
    });
  }

  // The reader is at a place of their own in it.
  get #isRead() {
    const selection = getSelection();
    const isSelected = !selection.isCollapsed && selection.containsNode(this.#box, true);
    return isSelected || !this.#follows || this.#box.contains(document.activeElement);
  }

  #toggled() {
    if (this.#element.open === this.#wanted) return;
    this.#wanted = this.#element.open;
    this.#isChosen = true;
    if (this.#isThinking) this.#toEnd();
    else this.#box.scrollTop = this.#top = 0;
    this.onToggle();
  }

  // --- its end in sight ---

  #toEnd() {
    if (!this.#isThinking) return;
    this.#box.scrollTop = this.#box.scrollHeight;
    this.#top = this.#box.scrollTop;
  }

  #letGo() {
    if (this.#box.scrollHeight > this.#box.clientHeight) this.#follows = false;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#box;
    if (!this.#element.open) return;
    if (scrollHeight - scrollTop - clientHeight < AT_END) this.#follows = true;
    else if (scrollTop < this.#top) this.#follows = false;
    this.#top = scrollTop;
  }
}

function show(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
