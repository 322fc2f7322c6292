// What an answer continues: the text and the thought before it, and what they have cost.

export class EarlierPart {
  text = "";
  thought = "";
  #tokens = 0;
  #ms = 0;
  #thoughtMs = 0;

  // A continuation that is open already, as the server rendered it.
  static rendered(text, thought) {
    const part = new EarlierPart();
    part.text = text;
    part.thought = thought.source;
    part.#thoughtMs = thought.ms;
    return part;
  }

  // All of an answer that has ended; done: how it ended, null where nobody knows
  static of(text, thought, done) {
    const part = EarlierPart.rendered(text, thought);
    part.#tokens = done?.usage.output_tokens ?? 0;
    part.#ms = done?.timings.total_ms ?? 0;
    return part;
  }

  get isEmpty() {
    return !this.text && !this.thought;
  }

  get thoughtMs() {
    return this.#thoughtMs;
  }

  // How it ended (`outcomeOf`), what came before it included.
  added({ status, usage, timings, error }) {
    return {
      status,
      usage: { output_tokens: usage.output_tokens + this.#tokens },
      timings: { total_ms: timings.total_ms + this.#ms },
      error,
    };
  }
}
