// The live queue in the admin: what a snapshot brings replaces what the tables show.
// It pauses while nobody looks at the page.

import { Socket } from "./socket.js";

const page = document.querySelector(".cs-queue");
const live = document.getElementById("live");
let known = {};

const socket = new Socket("/ws/queue/", { onEvent, onState: showState });

function onEvent(event) {
  if (event.type === "queue.snapshot") {
    socket.settled();
    showState("open");
    show((known = { ...known, ...event })); // what is left out is as before
  } else if (event.type === "queue.samples") {
    document.dispatchEvent(new CustomEvent("queue:samples", { detail: event }));
  } else if (event.type === "error" && event.code === "forbidden") showState("refused");
}

function show({ workers, running, waiting }) {
  const held = waiting.filter((row) => row.position === null).length;
  const capacity = workers.reduce((sum, row) => sum + row.capacity, 0);
  setText(document.getElementById("count-workers"), workers.length);
  setText(document.getElementById("count-running"), share(running.length, capacity));
  setText(document.getElementById("count-waiting"), waiting.length - held);
  setText(document.getElementById("count-held"), held);
  renderRows("workers", workers, "worker_id", workerCells);
  renderRows("running", running, "response_id", runningCells);
  renderRows("waiting", waiting, "response_id", waitingCells);
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

// --- rows ---

// Rows are kept by their key, so that a focused link stays focused.
function renderRows(id, rows, key, cellsOf) {
  const body = document.getElementById(id);
  const known = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  const shown = rows.map((row) => {
    const element = known.get(row[key]) ?? make("tr", "", { key: row[key] });
    fillCells(element, cellsOf(row));
    return element;
  });
  for (const element of known.values()) if (!shown.includes(element)) element.remove();
  shown.forEach((element, index) => {
    if (body.rows[index] !== element) body.insertBefore(element, body.rows[index] ?? null);
  });
  body.closest("section").querySelector(".cs-empty").hidden = rows.length > 0;
}

// A cell is [class, text or element].
function fillCells(row, cells) {
  cells.forEach(([className, content], index) => {
    const cell = row.cells[index] ?? row.appendChild(make("td", className));
    if (!(content instanceof Element)) setText(cell, content);
    else if (cell.firstElementChild?.isEqualNode(content)) return;
    else cell.replaceChildren(content);
  });
}

function workerCells(row) {
  return [
    ["cs-id", row.worker_id],
    ["", make("span", "cs-state", { state: row.state }, row.state)],
    ["", row.details.model ?? "–"],
    ["", row.details.device ?? "–"],
    ["cs-number", share(row.running, row.capacity)],
    ["cs-number", interpolate(gettext("%s s ago"), [Math.round(row.age)])],
  ];
}

function runningCells(row) {
  return [
    ["cs-id", responseLink(row)],
    ["cs-id", row.owner],
    ["cs-number", progress(row)],
    ["cs-number", seconds(row.since)],
    ["cs-number", row.attempt],
    ["cs-id", row.worker_id],
  ];
}

function waitingCells(row) {
  return [
    ["cs-number", row.position ?? heldMark()],
    ["cs-id", responseLink(row)],
    ["cs-id", row.owner],
    ["cs-number", seconds(row.since)],
  ];
}

function responseLink({ response_id: id }) {
  const url = page.dataset.responseUrl;
  const link = make(url ? "a" : "span", "", {}, id.slice(0, 8));
  if (url) link.setAttribute("href", url.replace("RESPONSE_ID", id));
  return link;
}

function heldMark() {
  const mark = make("span", "", {}, "—");
  mark.title = gettext("Waits for the previous answer of its conversation");
  return mark;
}

function progress({ tokens, max_tokens: max }) {
  const bar = document.createElement("progress");
  bar.setAttribute("value", tokens);
  bar.setAttribute("max", max || 1);
  bar.setAttribute("aria-label", gettext("Tokens"));
  const box = make("span", "cs-progress");
  box.append(bar, make("span", "", {}, `${tokens} / ${max}`));
  return box;
}

function seconds(value) {
  return interpolate(gettext("%s s"), [Math.round(value)]);
}

function share(part, whole) {
  return interpolate(gettext("%s of %s"), [part, whole]);
}

function make(tag, className = "", dataset = {}, text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  Object.assign(element.dataset, dataset);
  element.textContent = text;
  return element;
}

function setText(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
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

if (!document.hidden) socket.connect();
