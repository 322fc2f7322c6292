// The chat page: joins the socket, the message box and the turns.
//
// A response's id is made here, so that sending it again is never a second answer.

import { Account, forgetTitle } from "../accounts/account.js";
import { Announcement } from "./announcement.js";
import { Answer } from "./answer.js";
import { Banner } from "./banner.js";
import { Branches } from "./branches.js";
import { listen } from "./buttons.js";
import { Composer } from "./composer.js";
import { Draft } from "./draft.js";
import { guardDrops } from "./drop.js";
import { Edits } from "./edits.js";
import { ModelName } from "./model_name.js";
import { Notice } from "./notice.js";
import { Outbox } from "./outbox.js";
import { VisibleTurns } from "./visible_turns.js";
import { Scroll } from "./scroll.js";
import { Settings } from "./settings.js";
import { newId, Socket } from "../shared/socket.js";
import { Tabs } from "./tabs.js";
import { errorText } from "../shared/error_words.js";
import { Welcome } from "./welcome.js";
import * as words from "../shared/words.js";

const config = JSON.parse(document.getElementById("config").textContent);
const thread = document.getElementById("thread");
const stop = document.getElementById("stop");
const connection = document.getElementById("connection");

const PASSING = ["unavailable", "rate_limited"];
const AGAIN = 2_000; // ms
const UNREAD = ["invalid_event", "rate_limited"]; // said without the id of what was not even read
const SESSION_CHANGED = 4409; // signed in or out elsewhere: the next connection is of who it is now

let announcedPlace = "";

const turns = new VisibleTurns(document.getElementById("turns"));
const scroll = new Scroll();
const announcement = new Announcement();
const notice = new Notice(() => composer.rest());
const account = new Account(config, notice);
const draft = new Draft(config.owner, config.conversation_id);
const branches = new Branches({ config, turns, scroll, notice, onShown, onGone: forgetTitle });
const settings = new Settings({
  config,
  notice,
  conversation: () => branches.conversationId,
});
const modelName = new ModelName();
const welcome = new Welcome((text) => {
  ask(text);
  composer.rest();
});
const tabs = new Tabs(config.owner, onNews);
const composer = new Composer(config.max_input_chars, {
  onSend: ask,
  onUp: () => edits.startLast(),
});
const banner = new Banner((answer) => {
  outbox.cancel(answer);
  composer.rest();
});
const socket = new Socket("/ws/chat/?markup=html", { onEvent, onState });
const outbox = new Outbox({ turns, socket, branches, composer, settings, onTakenBack: refresh });
const edits = new Edits({
  turns,
  socket,
  notice,
  composer,
  ask,
  replace: (answer, text) => replace(answer, text, {}),
});

// --- asking ---

function ask(text) {
  notice.show("");
  add(Answer.create(newId(), text, { params: settings.params }));
  scroll.toBottom();
}

// Puts an answer at the end of the conversation and sends it as soon as its turn has come.
function add(answer) {
  answer.scrollBy(scroll);
  turns.add(answer);
  branches.leave();
  outbox.submitWaiting();
  refresh();
}

function onShown() {
  outbox.submitWaiting();
  refresh();
}

// In the place of an answer and of all after it; what is still open of them is stopped.
function replace(old, prompt, task) {
  const { previous } = old.view.details;
  const cut = turns.cut(old);
  for (const answer of cut) if (answer.isOpen) outbox.cancel(answer);
  const answer = Answer.create(newId(), prompt, {
    task,
    params: settings.params,
    before: old.view.details,
    previous,
  });
  answer.replaced = cut;
  add(answer);
  scroll.toBottom();
}

function regenerate(answer) {
  notice.show("");
  if (answer.confirmed) replace(answer, answer.prompt, { regenerates: answer.id });
  else {
    turns.remove(answer); // the server never had it
    ask(answer.prompt);
  }
  composer.rest();
}

function goOn(answer) {
  notice.show("");
  answer.goOn(newId(), settings.params);
  turns.renamed();
  branches.leave();
  outbox.submitWaiting();
  refresh();
  composer.rest();
}

// --- what the server says ---

function onEvent(event) {
  if (event.type === "session.created") greet(event);
  else if (event.type === "session.updated") operatorsWords(event);
  else if (event.type === "error") onError(event);
  else {
    const answer = turns.get(event.response_id);
    if (answer) onResponseEvent(answer, event);
  }
}

function greet(event) {
  socket.settled();
  account.greeted(event);
  // Without a worker nobody knows it; most likely it is the one before.
  if (event.model) {
    modelName.show(event);
    settings.learn(event);
  }
  composer.limit = event.limits.max_input_chars;
  settings.maxTokens = event.limits.max_tokens;
  const isBack = connection.dataset.state === "lost";
  if (isBack) {
    notice.show("");
    notice.announce(words.backText());
  }
  onState("open");
  operatorsWords(event);
  for (const answer of turns.open) {
    answer.interrupt(false);
    edits.send(answer);
  }
  outbox.submitWaiting();
  if (isBack) lookForNews();
}

// The operator's words: why nothing new is taken, and what all users are told.
function operatorsWords(event) {
  notice.stand("closed", event.notice ?? "");
  announcement.show(event.announcement ?? null);
}

function lookForNews() {
  if (!account.isSignedOut) branches.lookForNews();
}

// Another tab has asked, or has read an answer to its end.
function onNews({ id }) {
  tell("conversation-touched", { id });
  if (id === branches.conversationId) lookForNews();
}

function onResponseEvent(answer, event) {
  if ("sequence_number" in event && !answer.isNew(event)) return;
  switch (event.type) {
    case "response.queued":
      onAccepted(answer, event);
      break;
    case "response.queue_position":
      answer.setPlace(event);
      break;
    case "response.updated":
      answer.edit = null;
      notice.announce(words.updatedText());
      break;
    case "response.in_progress":
      answer.start(event);
      break;
    case "response.reasoning_text.delta":
      if (answer.think(event)) notice.announce(words.thinkingAnnouncement());
      settings.hasThought();
      return; // nothing else on the page changes
    case "response.output_text.delta":
      if (answer.append(event)) notice.announce(words.beginsAnnouncement());
      return;
    case "response.done":
      answer.finish(event);
      notice.announce(
        words.doneAnnouncement(event.status, answer.isBlank, !answer.thought.isBlank),
      );
      if (answer.confirmed) tabs.tell({ id: branches.conversationId });
      scroll.follow(); // the buttons below the answer are in sight, too
      break;
  }
  refresh();
}

function onAccepted(answer, event) {
  const isNew = !answer.confirmed;
  answer.confirm();
  answer.setPlace(event);
  if (isNew) {
    const { conversationId: id } = branches;
    branches.added(answer.id);
    if (id) tell("conversation-touched", { id });
    else begin(event.conversation_id, answer.prompt);
    tabs.tell({ id: event.conversation_id });
  }
  edits.send(answer);
  outbox.submitWaiting();
}

function begin(id, prompt) {
  branches.conversationId = id;
  settings.begun();
  draft.move(id);
  history.replaceState(null, "", `/c/${id}/`);
  const title = [...prompt.split(/\s+/).filter(Boolean).join(" ")].slice(0, 80).join("");
  document.title = `${title} · ChatStream`;
  document.querySelector("h1").textContent = title;
  tell("conversation", { id, title });
}

// The side list listens.
function tell(type, detail) {
  document.dispatchEvent(new CustomEvent(type, { detail }));
}

function onError(event) {
  const [kind, id] = (event.event_id ?? "").split(":");
  const answer = turns.get(id);
  const onItsWay = turns.unsent.find((each) => each.submitted); // one at a time is
  if (!event.event_id && UNREAD.includes(event.code) && onItsWay) {
    reject(onItsWay, event);
  } else if (kind === "cancel") {
    // `already_done` crossed with the end of the answer, which is on its way.
    if (event.code !== "already_done") notice.showError(event);
  } else if (kind === "update" && answer?.edit) {
    edits.refused(answer, event);
  } else if (kind === "create" && answer?.isOpen) {
    reject(answer, event);
  } else showError(event);
}

function showError(error) {
  if (!account.isToldOf(error)) notice.showError(error);
}

function reject(answer, error) {
  if (answer.confirmed && PASSING.includes(error.code)) {
    answer.submitted = false; // the server has it, and will show it
    setTimeout(() => outbox.submitWaiting(), AGAIN);
    return;
  }
  const isUnknown = !answer.confirmed && !answer.lastSequence;
  if (isUnknown && (answer.replaced || answer.task.continues || composer.isEmpty)) {
    outbox.takeBack(answer);
    showError(error);
  } else answer.fail(account.isToldOf(error) ? words.signedOutText() : errorText(error));
  outbox.submitWaiting();
  refresh();
}

// --- the connection ---

function onState(state, code = 0) {
  connection.dataset.state = state;
  connection.querySelector(".connection-text").textContent = words.connectionText(state);
  if (state === "lost" || state === "refused") {
    for (const answer of turns.open) answer.interrupt(true);
  }
  notice.stand("connection", state === "lost" ? words.lostText(code) : "");
  if (state === "lost" && code === SESSION_CHANGED) tell("identity");
  if (state === "refused") account.refused();
  refresh();
}

function refresh() {
  const isOnline = connection.dataset.state === "open";
  const { waiting } = turns;
  stop.hidden = !isOnline || !turns.running;
  const isAlone = waiting.length === 1 && waiting[0] === turns.last && !turns.running;
  banner.show(waiting, { isOnline, isAlone });
  announcePlace(waiting[0]);
  welcome.isShown = turns.size === 0;
}

// Only news: the line must not speak over what was said meanwhile.
function announcePlace(answer) {
  const place = answer?.place ? answer.placeText(true) : "";
  if (place && place !== announcedPlace) notice.announce(place);
  announcedPlace = place;
}

stop.addEventListener("click", () => {
  outbox.cancel(turns.running);
  composer.rest();
});

document.addEventListener("visibilitychange", lookForNews);
window.addEventListener("focus", lookForNews);
guardDrops(() => notice.show(words.noFilesText()));

listen(thread, turns, notice, {
  withdraw(answer) {
    outbox.cancel(answer);
    composer.rest();
  },
  retry: regenerate,
  regenerate,
  continue: goOn,
  edit: (answer) => edits.start(answer),
  rewrite: (answer) => edits.start(answer),
  older: (answer, button) => branches.choose(answer, button, -1),
  newer: (answer, button) => branches.choose(answer, button, 1),
  "show-earlier": (_, button) => branches.showEarlier(button),
});

// --- the beginning ---

turns.adopt(branches.adopt(thread));
if (composer.isEmpty) composer.text = draft.text;
composer.onChange = (text) => {
  draft.text = text;
};
refresh();
scroll.toBottom();
socket.connect();
