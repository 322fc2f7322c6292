// Tokens per second of each running response, counted from what the frames say.

const WINDOW = 5000; // milliseconds that a rate looks back
const SHORTEST = 1500; // of less, a rate would only show how the frames fell

export class Rates {
  #seen = new Map(); // by response id: [{ at, tokens }], the oldest first

  // After each frame, also one that says nothing new of them: then they said nothing.
  count(rows) {
    const at = Date.now();
    const seen = new Map();
    for (const { response_id: id, tokens, attempt } of rows) {
      const known = this.#seen.get(id) ?? [];
      // What another attempt goes on with was not said now.
      const before = known.at(-1)?.attempt === attempt ? known : [];
      const recent = before.filter((one, index) => at - (before[index + 1]?.at ?? at) < WINDOW);
      seen.set(id, [...recent, { at, tokens, attempt }]);
    }
    this.#seen = seen;
  }

  // Null while nobody can tell.
  of({ response_id: id, tokens, attempt, since }) {
    const seen = this.#seen.get(id) ?? [];
    const [first, last] = [seen[0], seen.at(-1)];
    if (first && last.at - first.at >= SHORTEST) {
      return ((last.tokens - first.tokens) * 1000) / (last.at - first.at);
    }
    // What earlier attempts said counts as tokens, but not the time that they took.
    return attempt === 1 && tokens && since ? tokens / since : null;
  }
}
