// The chat page: joins the socket, the message box and the answers.
//
// A prompt's id is made here, so that sending it again is never a second answer.

import { Answer } from "./answer.js";
import { Composer } from "./composer.js";
import { Scroll } from "./scroll.js";
import { newId, Socket } from "./socket.js";
import { doneAnnouncement, errorText } from "./words.js";

const config = JSON.parse(document.getElementById("config").textContent);
const thread = document.getElementById("thread");
const banner = document.getElementById("queue-banner");
const withdraw = document.getElementById("withdraw");
const stop = document.getElementById("stop");
const notice = document.getElementById("notice");
const connection = document.getElementById("connection");
const status = document.getElementById("status");

let conversationId = config.conversation_id;
let maxInputChars = config.max_input_chars;
const answers = new Map(); // by response id, in the order of the page

const scroll = new Scroll();
const composer = new Composer(maxInputChars, ask);
const socket = new Socket("/ws/chat/", { onEvent, onState });

// --- asking ---

function ask(text) {
  showNotice("");
  const answer = Answer.create(newId(), text);
  document.getElementById("welcome").hidden = true;
  thread.append(answer.turn);
  adopt(answer);
  submitWaiting();
  refresh();
  scroll.toBottom();
}

function adopt(answer) {
  answers.set(answer.id, answer);
  answer.onGrow = () => scroll.follow();
  answer.turn.querySelector(".withdraw").addEventListener("click", () => {
    cancel(answer);
    composer.focus();
  });
  answer.turn.querySelector(".retry").addEventListener("click", () => {
    if (!answer.confirmed) remove(answer); // else it is in the record, and stays on the page
    ask(answer.promptText);
    composer.focus();
  });
}

// A new conversation gets its id with its first prompt; the next prompts wait for that.
function submitWaiting() {
  for (const answer of openAnswers()) {
    if (!answer.submitted) submit(answer);
    if (!conversationId) return;
  }
}

// What the server has is taken up where it was left; anything else is sent (again: its id makes
// it the same prompt).
function submit(answer) {
  const event_id = `create:${answer.id}`;
  const response_id = answer.id;
  answer.submitted = socket.send(
    answer.confirmed
      ? { type: "response.resume", event_id, response_id, starting_after: answer.lastSequence }
      : {
          type: "response.create",
          event_id,
          response_id,
          conversation_id: conversationId,
          input: answer.promptText,
        },
  );
  answer.sent ||= answer.submitted;
}

function cancel(answer) {
  if (!answer) return;
  if (!answer.sent) takeBack(answer);
  else {
    const event_id = `cancel:${answer.id}`;
    socket.send({ type: "response.cancel", event_id, response_id: answer.id });
  }
}

// A prompt that the server does not have: back into the box if nothing else is in it.
function takeBack(answer) {
  remove(answer);
  if (composer.isEmpty) composer.text = answer.promptText;
  refresh();
}

function remove(answer) {
  answers.delete(answer.id);
  answer.turn.remove();
  document.getElementById("welcome").hidden = answers.size > 0;
}

// --- what the server says ---

function onEvent(event) {
  if (event.type === "session.created") greet(event);
  else if (event.type === "error") onError(event);
  else {
    const answer = answers.get(event.response_id);
    if (answer) onResponseEvent(answer, event);
  }
}

function greet(event) {
  socket.settled();
  document.getElementById("model").textContent = event.model ?? "";
  maxInputChars = event.limits.max_input_chars;
  composer.limit = maxInputChars;
  onState("open");
  showNotice("");
  for (const answer of openAnswers()) answer.interrupt(false);
  submitWaiting();
}

function onResponseEvent(answer, event) {
  if ("sequence_number" in event && !answer.isNew(event)) return;
  switch (event.type) {
    case "response.queued":
      answer.confirmed = true;
      answer.setPlace(event);
      setConversation(event.conversation_id);
      break;
    case "response.queue_position":
      answer.setPlace(event);
      break;
    case "response.in_progress":
      answer.start(event);
      announce("The answer begins.");
      break;
    case "response.output_text.delta":
      answer.append(event.delta);
      return; // nothing else on the page changes
    case "response.done":
      answer.finish(event);
      announce(doneAnnouncement(event.status));
      break;
  }
  refresh();
}

function setConversation(id) {
  if (conversationId) return;
  conversationId = id;
  history.replaceState(null, "", `/c/${id}/`);
  submitWaiting();
}

function onError(event) {
  const [kind, id] = (event.event_id ?? "").split(":");
  const answer = answers.get(id);
  const text = errorText(event, maxInputChars);
  if (kind === "cancel") {
    // `already_done` crossed with the end of the answer, which is on its way.
    if (event.code !== "already_done") showNotice(text);
  } else if (kind === "create" && answer?.isOpen) {
    reject(answer, text);
  } else if (event.code !== "login_required") {
    showNotice(text);
  }
}

function reject(answer, text) {
  if (!answer.confirmed && !answer.lastSequence && composer.isEmpty) {
    takeBack(answer);
    showNotice(text);
  } else {
    answer.fail(text);
  }
  submitWaiting();
  refresh();
}

// --- the connection ---

const CONNECTION_WORDS = {
  open: "Connected",
  lost: "Reconnecting",
  refused: "Signed out",
};

function onState(state) {
  connection.dataset.state = state;
  connection.querySelector(".connection-text").textContent = CONNECTION_WORDS[state];
  if (state === "lost") {
    for (const answer of openAnswers()) answer.interrupt(true);
    showNotice("Connection lost. Reconnecting…");
  } else if (state === "refused") {
    for (const answer of openAnswers()) answer.interrupt(true);
    showNotice("Please sign in to chat here.", { href: location.href, text: "Sign in" });
  }
  refresh();
}

function showNotice(text, link = null) {
  notice.hidden = !text;
  notice.querySelector(".notice-text").textContent = text;
  const anchor = notice.querySelector(".notice-link");
  anchor.hidden = !link;
  anchor.textContent = link?.text ?? "";
  if (link) anchor.href = link.href;
}

// --- the queue banner and the buttons ---

function openAnswers() {
  return [...answers.values()].filter((answer) => answer.isOpen);
}

function waitingAnswers() {
  return openAnswers().filter((answer) => answer.status === "queued");
}

function runningAnswer() {
  return openAnswers().find((answer) => answer.status === "in_progress");
}

// Stop and the banner serve the first answer; the later ones have their own line and button.
function refresh() {
  const offline = connection.dataset.state !== "open";
  stop.hidden = offline || !runningAnswer();
  const [first, ...others] = waitingAnswers();
  banner.hidden = !first;
  if (first) {
    showPlace(first, others.length);
    if (first.place) announce(first.placeText());
    withdraw.disabled = offline && first.sent;
    first.showWait("");
  }
  for (const answer of others) answer.showWait("Waits for your previous answer");
  scroll.follow();
}

function showPlace(answer, others) {
  const more = others ? `${others} more after it` : "";
  const parts = [answer.placeText(), answer.etaText(), more].filter(Boolean);
  banner.querySelector(".banner-text").textContent = parts.join(" · ");
}

// The ETA counts down between the server's words.
setInterval(() => {
  const [first, ...others] = waitingAnswers();
  if (first?.etaText()) showPlace(first, others.length);
}, 1000);

function announce(text) {
  if (status.textContent !== text) status.textContent = text;
}

stop.addEventListener("click", () => {
  cancel(runningAnswer());
  composer.focus();
});
withdraw.addEventListener("click", () => {
  cancel(waitingAnswers()[0]);
  composer.focus();
});

for (const turn of thread.querySelectorAll(".turn")) {
  const answer = new Answer(turn);
  answer.confirmed = answer.sent = true;
  adopt(answer);
}
refresh();
socket.connect();
