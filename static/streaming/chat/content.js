// What there is of an answer on the page: its text, its thought, and its other items.

import { Blocks } from "./blocks.js";
import { OtherItems } from "./other_items.js";
import { isBlank } from "../shared/text.js";
import { Thought } from "./thought.js";

export class Content {
  text;
  thought;
  items;

  // view: of the turn, with what is stored
  constructor(view) {
    const { text, reasoning_ms: ms } = view.details;
    this.text = new Blocks(view.find(".text"), text);
    this.thought = new Thought(view.find(".thought"), ms);
    this.items = new OtherItems(view.find(".items"));
  }

  // Nothing of it can be read, but for what was thought.
  get isBlank() {
    return isBlank(this.text.source) && this.items.isEmpty;
  }

  // What is copied of it.
  get copied() {
    return [this.text.source, this.items.refusal].filter((text) => !isBlank(text)).join("\n\n");
  }

  // It comes from its beginning; earlier: the EarlierPart that it goes on from
  begin(earlier) {
    this.thought.begin(earlier.thought, earlier.thoughtMs);
    this.text.begin(earlier.text);
    this.items.begin();
  }

  think(event) {
    if (this.thought.add(event)) this.text.forget();
    this.thought.mayOpen = this.text.showsNothing;
  }

  write(event) {
    this.thought.pause();
    this.text.add(event);
  }

  // event: of an item that is neither text nor thought, or of a part of one
  addItem(event) {
    if (event.item?.type !== "reasoning") this.thought.pause();
    this.items.add(event);
  }

  // outcome: as of `outcomeOf`; event: with the blocks of the text
  end(earlier, outcome, event) {
    const ms = earlier.thoughtMs + outcome.timings.reasoning_ms;
    this.thought.end(earlier.thought + outcome.reasoning, ms);
    this.text.end(earlier.text + outcome.text, event);
    this.items.end(outcome);
  }

  // No more will come for now.
  rest() {
    this.thought.rest();
    this.text.rest();
  }

  // The connection is lost.
  interrupt() {
    this.thought.interrupt();
    this.text.flush();
  }

  // Its end stays in sight for who is there, and what is read stays where it is.
  scrollBy(scroll) {
    this.text.onGrow = this.thought.onGrow = this.items.onGrow = () => scroll.follow();
    this.thought.onFold = (element, fold) => scroll.fold(element, fold);
    this.thought.onToggle = () => scroll.look();
  }
}
