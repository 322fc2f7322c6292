// Where an answer is on its way: the one state machine of an answer, with checked transitions.
//
//   draft → sent → queued | held → running → ended
//
// `draft`: made here, and not sent on any socket. `sent`: the server was asked on the present one,
// and has not replied. `held`: it waits for another answer of its conversation. `resuming`: it was
// sent before, and the present socket has not been asked for it yet.

const NEXT = {
  draft: ["sent"],
  sent: ["queued", "held", "running", "resuming", "ended"],
  queued: ["held", "running", "resuming", "ended"],
  held: ["queued", "running", "resuming", "ended"],
  running: ["resuming", "ended"],
  resuming: ["sent", "queued", "held", "running", "ended"],
  ended: [],
};

export class AnswerState {
  #name;
  #isKnown; // to the server: it has it, or had it
  #onChange = () => {};

  constructor(name, isKnown = false) {
    this.#name = name;
    this.#isKnown = isKnown;
  }

  // Calls back now, and after each change.
  set onChange(onChange) {
    this.#onChange = onChange;
    onChange(this.#name);
  }

  get name() {
    return this.#name;
  }

  get isKnown() {
    return this.#isKnown;
  }

  is(...names) {
    return names.includes(this.#name);
  }

  // True if it is there now. What cannot follow is refused, and said to whoever looks for faults.
  to(name) {
    if (name === this.#name) return true;
    if (!NEXT[this.#name].includes(name)) {
      console.error(`An answer cannot go from ${this.#name} to ${name}.`);
      return false;
    }
    this.#name = name;
    this.#onChange(name);
    return true;
  }

  // The server has said that it has it.
  know() {
    this.#isKnown = true;
  }
}
