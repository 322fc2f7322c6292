// The place of a waiting answer in the queue, as the server told it last.

export class Place {
  position; // 1 is next; null while another answer of the conversation is open
  size; // how many wait
  service; // what the workers do
  keptSeconds; // how long it is kept while nobody looks; null: as long as one is signed in; undefined where the server does not say it
  startsAt; // the expected time of its start, and its range, in ms; null where nobody knows
  earliest;
  latest;

  // told: the event; before: the place that was told before, which knows what this one leaves out
  constructor(told, before = null) {
    const { position, size, service = "ready", workers } = told;
    const isAway = workers === 0 && service !== "draining";
    this.position = position;
    this.size = size;
    this.service = isAway ? "away" : service;
    this.keptSeconds = told.kept_seconds === undefined ? before?.keptSeconds : told.kept_seconds;
    this.startsAt = fromNow(told.eta_seconds);
    this.earliest = fromNow(told.eta_low_seconds);
    this.latest = fromNow(told.eta_high_seconds);
  }

  // It is not in the order yet.
  get isHeld() {
    return this.position === null;
  }
}

// The wait of somebody who asks now. load: that of `chatstream:session` and `chatstream:load`
export function waitOf(load) {
  return {
    startsAt: fromNow(load.eta_seconds),
    earliest: fromNow(load.eta_low_seconds),
    latest: fromNow(load.eta_high_seconds),
  };
}

function fromNow(seconds = null) {
  return seconds === null ? null : Date.now() + seconds * 1000;
}
