// The charts of the last hour in the live queue. The server has drawn them; here they are drawn
// again, in the same way (`streaming/admin/charts.py`), when samples come and as time goes on.
// Pointer and arrow keys choose a moment, and all charts say what was so then.

const SPAN = 3600;
const HEIGHT = 100;
const BIN = 60;
const SAMPLE = 10;
const GAP = 2.5 * SAMPLE;
const UNKNOWN = "–";

const VALUES = {
  capacity: (sample) => sample.capacity,
  running: (sample) => sample.running,
  waiting: (sample) => sample.waiting,
  tokens: (sample) => (sample.seconds ? sample.tokens_per_second : null),
  queue: (sample) => sample.queue_seconds,
  rejected: (sample) => sample.rejected,
};
const FILLED = new Set(["running", "tokens", "rejected"]);

const section = document.querySelector(".cs-charts");
const charts = [...section.querySelectorAll(".cs-chart")].map(chartOf);
let samples = null; // null: what the server has drawn is all there is
let ahead = Number(section.dataset.now) - Date.now() / 1000; // of the server's clock
let cursor = null; // a chosen moment

document.addEventListener("queue:samples", ({ detail }) => {
  samples = detail.whole ? detail.samples : [...(samples ?? []), ...detail.samples];
  const newest = samples.at(-1);
  if (newest) {
    const seen = newest.at - Date.now() / 1000;
    ahead = detail.whole ? Math.max(ahead, seen) : seen;
  }
  draw();
});

setInterval(() => document.hidden || draw(), SAMPLE * 1000);

function now() {
  return Date.now() / 1000 + ahead;
}

function chartOf(element) {
  const lines = [...element.querySelectorAll("li[data-line]")].map((item) => {
    const key = item.dataset.line;
    const drawn = element.querySelector(`g[data-line="${key}"]`);
    return {
      key,
      name: item.querySelector(".cs-chart-name").textContent,
      last: item.querySelector(".cs-chart-last"),
      most: item.querySelector(".cs-chart-most"),
      path: drawn.querySelector(".cs-chart-line"),
      area: drawn.querySelector(".cs-chart-area"),
    };
  });
  const key = element.dataset.chart;
  const inBins = key === "rejections";
  return { element, key, lines, inBins, gap: inBins ? BIN : GAP, slider: sliderOf(element) };
}

// --- drawing ---

function draw() {
  if (samples === null) return;
  const end = now();
  const recent = (samples = samples.filter((sample) => sample.at > end - SPAN));
  section.querySelector(".cs-empty").hidden = recent.length > 0;
  if (!recent.length) setText(section.querySelector(".cs-empty"), gettext("No samples yet"));
  section.querySelector(".cs-charts-grid").hidden = !recent.length;
  for (const chart of charts) drawChart(chart, recent, end);
  showCursor();
}

function drawChart(chart, recent, end) {
  for (const line of chart.lines) {
    line.points = (chart.inBins ? bins : points)(recent, VALUES[line.key]);
    line.known = line.points.filter(([, value]) => value !== null);
  }
  const all = chart.lines.flatMap((line) => line.known.map(([, value]) => value));
  const top = roundUp(Math.max(0, ...all));
  const place = ([at, value]) => [
    Math.floor(Math.max(0, SPAN - (end - at)) + 0.5),
    Math.floor((HEIGHT - (value / top) * HEIGHT) * 10 + 0.5) / 10,
  ];
  const said = [];
  for (const line of chart.lines) {
    let parts = joined(line.points, chart.gap);
    if (chart.inBins) parts = parts.map((part) => part.flatMap((point) => step(point, end)));
    const drawn = parts.map((part) => part.map(place));
    line.path.setAttribute("d", drawn.map(pathOf).join(""));
    line.area.setAttribute("d", FILLED.has(line.key) ? drawn.map(areaOf).join("") : "");
    const last = words(chart, line.known.at(-1)?.[1] ?? null);
    const most = words(chart, line.known.length ? Math.max(...line.known.map((p) => p[1])) : null);
    setText(line.last, last);
    setText(line.most, interpolate(gettext("most %s"), [most]));
    const sentence = gettext("%(name)s: last %(last)s, most %(most)s.");
    said.push(interpolate(sentence, { name: line.name, last, most }, true));
  }
  setText(chart.element.querySelector(".cs-chart-top-value"), words(chart, top));
  setText(chart.element.querySelector("desc"), said.join(" "));
}

function points(recent, value) {
  return recent.map((sample) => [sample.at, value(sample)]);
}

// The sum of each minute that has a sample, at its beginning.
function bins(recent, value) {
  const sums = new Map();
  for (const sample of recent) {
    const begin = Math.floor(sample.at / BIN) * BIN;
    sums.set(begin, (sums.get(begin) ?? 0) + value(sample));
  }
  return [...sums].sort(([a], [b]) => a - b);
}

function step([at, value], end) {
  return [
    [at, value],
    [Math.min(at + BIN, end), value],
  ];
}

// In parts, cut where nothing is known for longer, or a clock was set back.
function joined(line, gap) {
  const parts = [];
  let before = -Infinity;
  for (const [at, value] of line) {
    if (value === null) continue;
    if (at < before || at - before > gap) parts.push([]);
    parts.at(-1).push([at, value]);
    before = at;
  }
  return parts;
}

function pathOf(part) {
  const [first, ...rest] = part.map((point) => point.join(" "));
  return `M${first}${rest.length ? `L${rest.join(" ")}` : "h0"}`;
}

function areaOf(part) {
  if (part.length < 2) return "";
  const line = part.map((point) => point.join(" ")).join(" ");
  return `M${part[0][0]} ${HEIGHT}L${line} ${part.at(-1)[0]} ${HEIGHT}Z`;
}

function roundUp(value) {
  if (value <= 1) return 1;
  const size = 10 ** Math.floor(Math.log10(value));
  const digit = [1, 2, 3, 4, 5, 6, 8].find((d) => d * size >= value * (1 - 1e-9)) ?? 10;
  return digit * size;
}

function words(chart, value) {
  if (value === null) return UNKNOWN;
  return chart.key === "wait" ? interpolate(gettext("%s s"), [short(value)]) : short(value);
}

const SIZES = [
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
];

function short(value) {
  if (value >= 1e15) return value.toExponential(1);
  const [size, suffix] = (value >= 10_000 && SIZES.find(([least]) => value >= least)) || [1, ""];
  const scaled = value / size;
  const rounded = Math.floor(scaled * 10 + 0.5) / 10;
  return (rounded < (suffix ? 100 : 10) ? rounded : Math.floor(scaled + 0.5)) + suffix;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// --- a chosen moment ---

// A slider over the plot: what the pointer and the arrow keys have in common.
function sliderOf(element) {
  const slider = document.createElement("div");
  slider.className = "cs-chart-slider";
  slider.tabIndex = 0;
  slider.setAttribute("role", "slider");
  slider.setAttribute("aria-label", gettext("Time"));
  slider.setAttribute("aria-describedby", element.querySelector("desc").id);
  slider.setAttribute("aria-valuemin", -SPAN);
  slider.setAttribute("aria-valuemax", 0);
  slider.setAttribute("aria-valuenow", 0);
  slider.addEventListener("pointermove", (event) => {
    const box = slider.getBoundingClientRect();
    choose(now() - SPAN * (1 - (event.clientX - box.left) / box.width));
  });
  slider.addEventListener("pointerleave", () => choose(null));
  slider.addEventListener("blur", () => choose(null));
  slider.addEventListener("keydown", (event) => {
    const index = cursor === null ? samples?.length : samples?.indexOf(nearest(cursor));
    const to = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: Infinity }[event.key];
    if (event.key === "Escape") choose(null);
    if (to === undefined || !samples?.length) return;
    event.preventDefault();
    choose(samples[Math.max(0, Math.min(samples.length - 1, to))].at);
  });
  element.querySelector(".cs-chart-plot").append(slider);
  return slider;
}

function choose(at) {
  cursor = at;
  if (at === null) draw();
  else showCursor();
}

function nearest(at) {
  return samples.reduce((a, b) => (Math.abs(b.at - at) < Math.abs(a.at - at) ? b : a));
}

function showCursor() {
  const end = now();
  const at = cursor === null || !samples?.length ? null : nearest(cursor).at;
  for (const chart of charts) {
    const x = at === null ? null : Math.floor(SPAN - (end - at) + 0.5);
    chart.element.querySelector(".cs-chart-cursor").setAttribute("d", x === null ? "" : `M${x} 0V100`);
    const clock = at === null ? "" : new Date(at * 1000).toLocaleTimeString(language());
    setText(chart.element.querySelector(".cs-chart-time"), clock);
    chart.slider.setAttribute("aria-valuenow", at === null ? 0 : x - SPAN);
    chart.slider.setAttribute("aria-valuetext", at === null ? gettext("now") : clock);
    if (at === null) continue;
    const said = chart.lines.map((line) => {
      const moment = chart.inBins ? Math.floor(at / BIN) * BIN : at;
      const point = line.points.find(([begin]) => begin === moment);
      setText(line.last, words(chart, point?.[1] ?? null));
      return `${line.name} ${line.last.textContent}`;
    });
    chart.slider.setAttribute("aria-valuetext", `${clock}: ${said.join(", ")}`);
  }
}

function language() {
  return document.documentElement.lang || undefined;
}
