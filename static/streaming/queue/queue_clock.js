// Ages, waits and ETAs: they go on by themselves between two frames. A clock is an element whose
// `data-moment` (Unix time of the server) lies behind or ahead, and whose `data-clock` says how that
// is read. `streaming/live_queue/words.py` has the same words, for the first page.

let ahead = 0; // seconds, of the server's clock

export function setNow(now) {
  ahead = now - Date.now() / 1000;
}

export function serverNow() {
  return Date.now() / 1000 + ahead;
}

// Once a second.
export function tickAll() {
  for (const element of document.querySelectorAll("[data-clock]")) tick(element);
}

export function tick(element) {
  const passed = serverNow() - Number(element.dataset.moment);
  const text = WORDS[element.dataset.clock](passed);
  if (element.textContent !== text) element.textContent = text;
}

const WORDS = {
  elapsed: (seconds) => duration(Math.max(0, Math.floor(seconds))),
  ago: (seconds) => interpolate(gettext("%s ago"), [WORDS.elapsed(seconds)]),
  left(seconds) {
    const whole = Math.ceil(-seconds);
    return whole > 0 ? duration(whole) : gettext("soon");
  },
};

function duration(whole) {
  const [minutes, hours, days] = [60, 3600, 86400].map((unit) => Math.floor(whole / unit));
  if (!minutes) return interpolate(gettext("%s s"), [whole]);
  if (!hours) return interpolate(gettext("%s min %s s"), [minutes, whole % 60]);
  if (!days) return interpolate(gettext("%s h %s min"), [hours, minutes % 60]);
  return interpolate(gettext("%s d %s h"), [days, hours % 24]);
}
