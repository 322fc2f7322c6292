// The turns on the page, in their order: one path through the tree of the conversation.

export class VisibleTurns {
  element;
  #answers = new Map(); // by response id

  // element: the one that holds the turns
  constructor(element) {
    this.element = element;
  }

  get all() {
    return [...this.#answers.values()];
  }

  get size() {
    return this.#answers.size;
  }

  get last() {
    return this.all.at(-1);
  }

  get open() {
    return this.all.filter((answer) => answer.isOpen);
  }

  get waiting() {
    return this.all.filter((answer) => answer.waits);
  }

  // What the server may not have yet.
  get unsent() {
    return this.open.filter((answer) => !answer.state.isKnown);
  }

  get running() {
    return this.all.find((answer) => answer.status === "in_progress");
  }

  get(id) {
    return this.#answers.get(id);
  }

  // The answer of the turn that an element stands in.
  of(element) {
    return this.get(element.closest(".turn")?.querySelector(".answer").dataset.responseId);
  }

  // The id of what an answer follows, as the server knows it; null for the first.
  previousOf(answer) {
    const { all } = this;
    for (let index = all.indexOf(answer) - 1; index >= 0; index--) {
      if (all[index].isKept) return all[index].id;
    }
    return all[0]?.view.details.previous ?? null;
  }

  add(answer) {
    this.element.append(answer.view.element);
    this.#answers.set(answer.id, answer);
    this.#marked();
  }

  // Those of the page when it was loaded.
  adopt(answers) {
    this.#answers = new Map([...answers.map((answer) => [answer.id, answer]), ...this.#answers]);
    this.#marked();
  }

  remove(answer) {
    this.#answers.delete(answer.id);
    answer.view.element.remove();
    this.#marked();
  }

  // Takes an answer and all after it from the page, and gives them back, for `restore`.
  cut(answer) {
    const { all } = this;
    const cut = all.slice(all.indexOf(answer));
    for (const { id, view } of cut) {
      this.#answers.delete(id);
      view.element.remove();
    }
    this.#marked();
    return cut;
  }

  restore(cut) {
    for (const answer of cut) this.add(answer);
  }

  // The same answer has another id.
  renamed() {
    this.#answers = new Map(this.all.map((answer) => [answer.id, answer]));
  }

  replace(element, answers) {
    for (const answer of answers) {
      const former = this.get(answer.id);
      if (former) answer.thought.keepAs(former.thought);
    }
    this.element.replaceWith(element);
    this.element = element;
    this.#answers = new Map(answers.map((answer) => [answer.id, answer]));
    this.#marked();
  }

  #marked() {
    const { last } = this;
    for (const answer of this.all) answer.last = answer === last;
  }
}
