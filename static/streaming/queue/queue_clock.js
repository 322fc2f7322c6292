// Ages, waits and ETAs: they go on by themselves between two frames.

// What frames say in seconds, as moments of this browser's clock.
const MOMENTS = { age: -1, since: -1, asked: -1, eta: 1 };

// A row with the moments of its durations in `at`; `now` in milliseconds.
export function dated(row, now) {
  const at = {};
  for (const [name, sign] of Object.entries(MOMENTS)) {
    if (typeof row[name] === "number") at[name] = now + sign * row[name] * 1000;
  }
  return { ...row, at };
}

const SLACK = 1000; // frames take their time: less than this is no other moment

const clocks = new WeakMap(); // by element: { moment, words }

// Let an element say `words(seconds)`: seconds since the moment, or until it when it is to come.
export function run(element, moment, words) {
  const known = clocks.get(element);
  if (known && Math.abs(known.moment - moment) < SLACK) return;
  clocks.set(element, { moment, words });
  element.dataset.clock = "";
  write(element, Date.now());
}

export function stop(element) {
  clocks.delete(element);
  delete element.dataset.clock;
}

// Once a second.
export function age() {
  const now = Date.now();
  for (const element of document.querySelectorAll("[data-clock]")) write(element, now);
}

function write(element, now) {
  const { moment, words } = clocks.get(element);
  const text = words((now - moment) / 1000);
  if (element.textContent !== text) element.textContent = text;
}

// --- words; `streaming/admin/queue_rows.py` has the same ---

export function elapsed(seconds) {
  return duration(Math.max(0, Math.floor(seconds)));
}

export function ago(seconds) {
  return interpolate(gettext("%s ago"), [elapsed(seconds)]);
}

// `seconds` are those since the moment, so less than none before it.
export function left(seconds) {
  const whole = Math.ceil(-seconds);
  return whole > 0 ? duration(whole) : gettext("soon");
}

function duration(whole) {
  const [minutes, hours, days] = [60, 3600, 86400].map((unit) => Math.floor(whole / unit));
  if (!minutes) return interpolate(gettext("%s s"), [whole]);
  if (!hours) return interpolate(gettext("%s min %s s"), [minutes, whole % 60]);
  if (!days) return interpolate(gettext("%s h %s min"), [hours, minutes % 60]);
  return interpolate(gettext("%s d %s h"), [days, hours % 24]);
}
