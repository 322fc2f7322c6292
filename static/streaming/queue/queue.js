// The live queue in the admin: what the socket says, merged, and put in its places. It pauses while
// nobody looks at the page.

import "./queue_charts.js";
import "./queue_menus.js";
import { setNow, tickAll } from "./queue_clock.js";
import { Filter } from "./queue_filter.js";
import { Hold } from "./queue_hold.js";
import { Model } from "./queue_model.js";
import { handOn, put, setText } from "./queue_parts.js";
import { Rows } from "./queue_rows.js";
import { Socket } from "../shared/socket.js";

const SHOWN = { waiting: 500, owners: 10 }; // rows on the page, as on the first one

const live = document.getElementById("live");
const names = ["workers", "running", "waiting", "owners"];
const tables = Object.fromEntries(names.map((name) => [name, new Rows(name)]));
const filter = new Filter(search);
const main = document.getElementById("content-main");
const hold = new Hold(main, show);
const note = document.getElementById("queue-held");
const language = encodeURIComponent(document.documentElement.lang);
const socket = new Socket(`/ws/queue/?words=${language}`, { onEvent, onState: showState });

// What is known: null before the first frame, in whose place the server rendered the page.
let model = null;
let page = {}; // parts outside the tables that are still to be shown

setNow(Number(main.dataset.now));

function onEvent(event) {
  if (event.type === "queue.page") {
    socket.settled();
    showState("open");
    setNow(event.now);
    if (event.whole) model = new Model();
    model.merge(event);
    Object.assign(page, event.page);
    show();
  } else if (event.type === "queue.sampled") document.dispatchEvent(new Event("queue:sampled"));
  else if (event.type === "error" && event.code === "forbidden") showState("refused");
}

// --- showing ---

// While somebody is about to act in a list, what they see stays where it is: cells are filled, and
// a note says that there is more.
function show() {
  if (!model) return;
  const { rows } = model;
  const found = filter.found(rows);
  const shown = { ...found };
  for (const [name, most] of Object.entries(SHOWN)) shown[name] = found[name].slice(0, most);
  showPage(hold.isHeld);
  if (hold.isHeld) {
    note.hidden = names.map((name) => tables[name].fill(shown[name])).every(Boolean);
    return;
  }
  note.hidden = true;
  for (const name of names) {
    tables[name].show(shown[name]);
    tables[name].sayIfEmpty(rows[name].length, found[name].length);
  }
  showMore(found.waiting.length - SHOWN.waiting);
}

// Banners and what stands beside them would move the rows: they wait while these are held.
function showPage(isHeld) {
  const later = {};
  const focused = document.activeElement;
  for (const [name, values] of Object.entries(page)) {
    const element = document.getElementById(name.replaceAll("_", "-"));
    if (isHeld && !name.startsWith("count_")) later[name] = values;
    else if (element) put(element, values);
  }
  page = later;
  handOn(focused);
}

// False before the first frame.
function search() {
  main.classList.toggle("cs-searching", filter.isOn);
  if (hold.isHeld) hold.release();
  else show();
  return model !== null;
}

document.addEventListener("queue:acted", () => hold.release());

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

setInterval(tickAll, 1000);
if (!document.hidden) socket.connect();
