// The live queue in the admin: what the socket says, merged, and shown in counts, banners and
// tables. It pauses while nobody looks at the page.

import { age, dated } from "./queue_clock.js";
import { running, waiting, workers } from "./queue_cells.js";
import { Filter } from "./queue_filter.js";
import { Hold } from "./queue_hold.js";
import { Rates } from "./queue_rates.js";
import { Rows, setText, swap } from "./queue_rows.js";
import { Socket } from "../shared/socket.js";

const SHOWN = 500; // waiting rows on the page

const live = document.getElementById("live");
const tables = {
  workers: new Rows("workers", workers),
  running: new Rows("running", running),
  waiting: new Rows("waiting", waiting),
};
const rates = new Rates();
const filter = new Filter(search);
const main = document.getElementById("content-main");
const hold = new Hold(main, show);
const note = document.getElementById("queue-held");
const socket = new Socket("/ws/queue/", { onEvent, onState: showState });

// What is known: null before the first frame, in whose place the server rendered the page.
let queue = null;

function onEvent(event) {
  if (event.type === "queue.snapshot") {
    socket.settled();
    showState("open");
    queue = merged(queue, event);
    rates.count(queue.running);
    show();
  } else if (event.type === "queue.samples") {
    document.dispatchEvent(new CustomEvent("queue:samples", { detail: event }));
  } else if (event.type === "error" && event.code === "forbidden") showState("refused");
}

// A frame says what has changed since the one before it; the first one says all.
function merged(known, frame) {
  const now = Date.now();
  const next = { workers: [], running: [], waiting: [], paused: false, closed: null, ...known };
  for (const name of Object.keys(tables)) {
    if (frame[name]) next[name] = frame[name].map((row) => dated(row, now));
  }
  if (frame.paused !== undefined) next.paused = frame.paused;
  if (frame.closed !== undefined) next.closed = frame.closed;
  return next;
}

// --- showing ---

// While somebody is about to act in a list, what they see stays where it is: cells are filled, and
// a note says that there is more.
function show() {
  if (!queue) return;
  showCounts(queue);
  const found = filter.found(queue);
  const shown = { ...found, waiting: found.waiting.slice(0, SHOWN) };
  const contexts = { workers: { allPaused: queue.paused }, running: { rates } };
  if (hold.isHeld) {
    const fill = ([name, table]) => table.fill(shown[name], contexts[name]);
    note.hidden = Object.entries(tables).map(fill).every(Boolean);
    return;
  }
  note.hidden = true;
  showDoors(queue);
  for (const [name, table] of Object.entries(tables)) {
    table.show(shown[name], contexts[name]);
    table.sayIfEmpty(queue[name].length, found[name].length);
  }
  showMore(found.waiting.length - SHOWN);
}

// False before the first frame.
function search() {
  main.classList.toggle("cs-searching", filter.isOn);
  if (hold.isHeld) hold.release();
  else show();
  return queue !== null;
}

document.addEventListener("queue:acted", () => hold.release());

function showCounts({ workers, running, waiting }) {
  const held = waiting.filter((row) => row.state === "held").length;
  const capacity = workers.reduce((sum, row) => sum + row.capacity, 0);
  const share = interpolate(gettext("%s of %s"), [running.length, capacity]);
  setText(document.getElementById("count-workers"), workers.length);
  setText(document.getElementById("count-running"), share);
  setText(document.getElementById("count-waiting"), waiting.length - held);
  setText(document.getElementById("count-held"), held);
}

function showDoors({ paused, closed }) {
  document.getElementById("paused").hidden = !paused;
  document.getElementById("closed").hidden = closed === null;
  setText(document.getElementById("closed-message"), closed ?? "");
  const element = (id) => document.getElementById(id);
  swap(element("pause-all"), element("resume-all"), paused);
  swap(element("close-queue"), element("reopen-queue"), closed !== null);
}

function showMore(count) {
  const more = document.getElementById("waiting-more");
  more.hidden = count <= 0;
  if (count <= 0) return;
  const text = ngettext(
    "%s more is not shown; the search looks through all.",
    "%s more are not shown; the search looks through all.",
    count,
  );
  setText(more, interpolate(text, [count]));
}

const STATE_WORDS = {
  connecting: gettext("Connecting"),
  open: gettext("Live"),
  paused: gettext("Paused"),
  lost: gettext("Connection lost. Reconnecting…"),
  refused: gettext("You may not watch the queue. Sign in again."),
};

function showState(state) {
  live.dataset.state = state;
  setText(live.querySelector(".cs-live-text"), STATE_WORDS[state]);
}

// --- looking and not looking ---

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    socket.close();
    if (live.dataset.state !== "refused") showState("paused");
  } else if (live.dataset.state !== "refused") {
    showState("connecting");
    socket.connect();
  }
});

setInterval(age, 1000);
if (!document.hidden) socket.connect();
