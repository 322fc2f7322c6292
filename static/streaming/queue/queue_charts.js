// The charts of the live queue. The server draws them (`streaming/admin/charts.py`); here they are
// fetched again when there are new samples, and the pointer and the arrow keys choose a moment, at
// which all charts say what was so then. Collapsed or not and which window is kept in a cookie, so
// that the next page begins with it.

const WIDTH = 3600; // of a plot, whatever its window
const STEP = WIDTH / 60; // of an arrow key
const UNKNOWN = "–";
const EVERY = { "5m": 9_000, "1h": 9_000, "24h": 60_000, "7d": 120_000 }; // milliseconds between two drawings
const YEAR = 365 * 86400; // seconds

const strip = document.getElementById("queue-charts");
const drawn = document.getElementById("charts-drawn");
let chosen = strip.querySelector("[data-window][aria-current]").dataset.window;
let drawnAt = performance.now();
let cursor = null; // the x of a chosen moment
let values = read(); // [x, words] by line

// The attribute, not the `toggle` event, which comes a task later: the page may be left by then.
new MutationObserver(() => {
  remember();
  if (strip.open && !drawn.querySelector(".cs-chart")) draw();
}).observe(strip, { attributeFilter: ["open"] });

strip.addEventListener("click", (event) => {
  const link = event.target.closest("[data-window]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  chosen = link.dataset.window;
  for (const each of strip.querySelectorAll("[data-window]")) {
    if (each === link) each.setAttribute("aria-current", "true");
    else each.removeAttribute("aria-current");
  }
  remember();
  draw();
});

function remember() {
  const value = `${strip.open ? "open" : "closed"}.${chosen}`;
  document.cookie = `queue_charts=${value}; path=${location.pathname}; max-age=${YEAR}; samesite=lax`;
}

document.addEventListener("queue:sampled", () => {
  if (strip.open && !document.hidden && performance.now() - drawnAt >= EVERY[chosen]) draw();
});

// --- drawing ---

async function draw() {
  const asked = chosen;
  drawnAt = performance.now();
  strip.setAttribute("aria-busy", "true");
  try {
    const url = `${strip.dataset.url}?window=${asked}`;
    const response = await fetch(url, { credentials: "same-origin" });
    if (!response.ok || response.redirected) return;
    const html = await response.text();
    if (asked === chosen) show(html);
  } catch {
    // They stand as they are; the next sample tries again.
  } finally {
    strip.removeAttribute("aria-busy");
  }
}

// What has the focus keeps it, and a chosen moment stays chosen.
function show(html) {
  const focused = drawn.contains(document.activeElement) ? document.activeElement.id : "";
  const kept = cursor;
  drawn.innerHTML = html;
  values = read();
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  choose(kept);
}

function read() {
  const text = drawn.querySelector("script[type='application/json']")?.textContent;
  const lines = Object.entries(text ? JSON.parse(text) : {});
  return Object.fromEntries(lines.map(([key, said]) => [key, said ? said.split(";").map(pair) : []]));
}

function pair(said) {
  const at = said.indexOf(" ");
  return [Number(said.slice(0, at)), said.slice(at + 1)];
}

// --- a chosen moment ---

function sliderOf({ target }) {
  return target.closest?.(".cs-chart-slider");
}

drawn.addEventListener("pointermove", (event) => {
  const slider = sliderOf(event);
  if (!slider) return;
  const box = slider.getBoundingClientRect();
  choose(((event.clientX - box.left) / box.width) * WIDTH);
});

drawn.addEventListener("pointerout", (event) => {
  if (sliderOf(event) && event.isTrusted) choose(null);
});

drawn.addEventListener("focusout", (event) => {
  if (sliderOf(event) && drawn.contains(event.target)) choose(null);
});

drawn.addEventListener("keydown", (event) => {
  if (!sliderOf(event)) return;
  if (event.key === "Escape") choose(null);
  const at = cursor ?? WIDTH;
  const to = { ArrowLeft: at - STEP, ArrowRight: at + STEP, Home: first(), End: WIDTH }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  choose(to);
});

// The first moment of which anything is known.
function first() {
  const begins = Object.values(values).flatMap((line) => line.slice(0, 1).map(([x]) => x));
  return begins.length ? Math.min(...begins) : 0;
}

function wordsAt(line, x) {
  const said = (values[line] ?? []).findLast(([at]) => at <= x + 0.5);
  return said ? said[1] : UNKNOWN;
}

function choose(x) {
  cursor = x === null ? null : Math.round(Math.max(0, Math.min(WIDTH, x)));
  const board = drawn.querySelector(".cs-charts-drawn");
  const span = Number(board.dataset.span);
  const ago = cursor === null ? 0 : span * (1 - cursor / WIDTH);
  const clock = cursor === null ? "" : timeWords(Number(board.dataset.now) - ago, span);
  for (const chart of board.querySelectorAll(".cs-chart")) showIn(chart, ago, clock);
}

function showIn(chart, ago, clock) {
  const said = [...chart.querySelectorAll("li[data-line]")].map((item) => {
    const last = item.querySelector(".cs-chart-last");
    last.textContent = clock ? wordsAt(item.dataset.line, cursor) : last.dataset.last;
    return `${item.querySelector(".cs-chart-name").textContent} ${last.textContent}`;
  });
  const slider = chart.querySelector(".cs-chart-slider");
  if (!slider) return; // nothing is kept of it
  chart.querySelector(".cs-chart-cursor").setAttribute("d", clock ? `M${cursor} 0V100` : "");
  chart.querySelector(".cs-chart-time").textContent = clock;
  slider.setAttribute("aria-valuenow", Math.round(-ago));
  slider.setAttribute("aria-valuetext", clock ? `${clock}: ${said.join(", ")}` : gettext("now"));
}

function timeWords(at, span) {
  const language = document.documentElement.lang || undefined;
  const moment = new Date(at * 1000);
  if (span <= 3600) return moment.toLocaleTimeString(language);
  const shown = { weekday: "short", hour: "2-digit", minute: "2-digit" };
  return moment.toLocaleString(language, shown);
}
