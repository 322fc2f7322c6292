// What the page says of the answers that wait: the first one in the queue has a card in its place,
// every other one a line. Each state is said once: the banner speaks only for what is out of sight.

import { Banner } from "./banner.js";
import * as words from "../shared/wait_words.js";

export class Waiting {
  #waiting = [];
  #isOnline = false;
  #isInSight = true;
  #announced = "";
  #card = null; // a WaitCard, once it is loaded
  #loading = null;
  #carded = null; // the answer that has it
  #page;
  #banner;
  #sight = new IntersectionObserver((entries) => this.#onSight(entries.at(-1)));
  #watched = null;

  // page: { composer, notice, onWithdraw(answer), onEdit(answer), onGrow() }
  constructor(page) {
    this.#page = page;
    this.#banner = new Banner(page.onWithdraw);
    // The ETA counts down between the server's words, while there is any.
    setInterval(() => {
      if (this.#isOnline && this.#waiting[0]?.place?.startsAt) this.#write();
    }, 1000);
  }

  // waiting: the answers that wait, in their order
  show(waiting, isOnline) {
    this.#waiting = waiting;
    this.#isOnline = isOnline;
    this.#write();
    this.#announce();
  }

  #write() {
    const [first] = this.#waiting;
    const hasPlace = first?.place && !first.place.isHeld;
    if (hasPlace && !this.#card) this.#load();
    const carded = hasPlace && this.#card ? first : null;
    for (const answer of this.#waiting) {
      const text = answer === carded ? "" : words.stateText(answer, this.#isOnline, answer !== first);
      answer.showWait(text, this.#isBound(answer));
    }
    if (carded) this.#card.show(carded, this.#isOnline, this.#isBound(carded));
    else this.#card?.hide();
    if (carded !== this.#carded) this.#page.onGrow();
    this.#carded = carded;
    this.#watch(carded ? this.#card.element : (first?.view.find(".wait") ?? null));
    this.#banner.show(this.#waiting, { isOnline: this.#isOnline, isInSight: this.#isInSight });
  }

  // Only the server could take it back.
  #isBound(answer) {
    return !this.#isOnline && !answer.state.is("draft");
  }

  // The card and its style sheet come when somebody waits for the first time.
  #load() {
    this.#loading ??= import("./wait_card.js")
      .then(({ load }) => load(this.#page))
      .then((card) => {
        this.#card = card;
        this.#write();
      })
      .catch(() => {
        this.#loading = null; // without a connection: the line says it meanwhile
      });
  }

  #watch(element) {
    if (element === this.#watched) return;
    this.#sight.disconnect();
    this.#watched = element;
    this.#isInSight = true; // until it is known
    if (element) this.#sight.observe(element);
  }

  #onSight({ target, isIntersecting }) {
    if (target !== this.#watched) return;
    this.#isInSight = isIntersecting;
    this.#write();
  }

  // For those who hear the page, and only news: it must not speak over what was said meanwhile.
  #announce() {
    const [first] = this.#waiting;
    const news = first?.place ? words.stateText(first, true) : "";
    if (news && news !== this.#announced) this.#page.notice.announce(news);
    this.#announced = news;
  }
}
