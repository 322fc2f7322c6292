// The chat page: joins the socket, the message box and the turns.
//
// A response's id is made here, so that sending it again is never a second answer.

import { Account, forgetTitle } from "../accounts/account.js";
import { Announcement } from "./announcement.js";
import { Answer } from "./answer.js";
import { Branches } from "./branches.js";
import { listen } from "./buttons.js";
import { Composer } from "./composer.js";
import { Conversation, tell } from "./conversation.js";
import { FileButton } from "./file_button.js";
import { Draft } from "./draft.js";
import { guardDrops } from "./drop.js";
import { Edits } from "./edits.js";
import { Inbox } from "./inbox.js";
import { LoadLine } from "./load_line.js";
import { ModelName } from "./model_name.js";
import { Notice } from "./notice.js";
import { Outbox } from "./outbox.js";
import { VisibleTurns } from "./visible_turns.js";
import { Scroll } from "./scroll.js";
import { Settings } from "./settings.js";
import { newId, Socket } from "../shared/socket.js";
import { Tabs } from "./tabs.js";
import { Waiting } from "./waiting.js";
import { Welcome } from "./welcome.js";
import * as words from "../shared/words.js";

const config = JSON.parse(document.getElementById("config").textContent);
const thread = document.getElementById("thread");
const stop = document.getElementById("stop");
const connection = document.getElementById("connection");

const SPREAD = 2_000; // ms, over which all pages that wait for the model ask for it
const SESSION_CHANGED = 4409; // signed in or out elsewhere: the next connection is of who it is now

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
const composer = new Composer(config.max_input_chars, new FileButton(config), {
  onSend: ask,
  onUp: () => edits.startLast(),
});
const loadLine = new LoadLine();
const conversation = new Conversation({ branches, draft, settings, tabs, turns });
const socket = new Socket("/ws/chat/?markup=html&version=2", {
  onEvent: (event) => inbox.take(event),
  onState,
});
const outbox = new Outbox({ turns, socket, branches, composer, settings, onTakenBack: refresh });
const edits = new Edits({
  turns,
  socket,
  notice,
  composer,
  ask,
  replace: (answer, text) => replace(answer, text, {}),
});
const waiting = new Waiting({
  composer,
  notice,
  onWithdraw: withdraw,
  onEdit: (answer) => edits.start(answer),
  onGrow: () => scroll.follow(),
});
const inbox = new Inbox({
  account,
  announcement,
  branches,
  composer,
  conversation,
  edits,
  loadLine,
  modelName,
  notice,
  outbox,
  scroll,
  settings,
  tabs,
  turns,
  greetAgain,
  lookForNews,
  onGreeted,
  refresh,
});

// --- asking ---

// attachments: { parts, element } of what goes with the text, or null
function ask(text, attachments = null) {
  notice.show("");
  add(Answer.create(newId(), text, { params: settings.params, attachments }));
  scroll.toBottom();
}

// Puts an answer at the end of the conversation and sends it as soon as its turn has come.
function add(answer) {
  answer.content.scrollBy(scroll);
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
    attachments: old.view.attachments,
  });
  answer.replaced = cut;
  add(answer);
  scroll.toBottom();
}

function regenerate(answer) {
  notice.show("");
  if (answer.state.isKnown) replace(answer, answer.prompt, { regenerates: answer.id });
  else {
    turns.remove(answer); // the server never had it
    ask(answer.prompt, answer.view.attachments);
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

function withdraw(answer) {
  outbox.cancel(answer);
  composer.rest();
}

// --- what happens elsewhere ---

function lookForNews() {
  if (!account.isSignedOut) branches.lookForNews();
}

// Another tab has asked, or has read an answer to its end.
function onNews({ id }) {
  tell("conversation-touched", { id });
  if (id === branches.conversationId) lookForNews();
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

// True if the connection was lost before.
function onGreeted() {
  socket.settled();
  const isBack = connection.dataset.state === "lost";
  if (isBack) {
    notice.show("");
    notice.announce(words.backText());
  }
  onState("open");
  return isBack;
}

// The model was not known at the greeting, and is now: the greeting of another socket names it. What
// is on its way keeps its own.
function greetAgain() {
  setTimeout(() => {
    if (!modelName.isKnown && !turns.open.length) socket.connect();
  }, Math.random() * SPREAD);
}

function refresh() {
  const isOnline = connection.dataset.state === "open";
  stop.hidden = !isOnline || !turns.running;
  waiting.show(turns.waiting, isOnline);
  loadLine.isHidden = !isOnline || turns.open.length > 0;
  conversation.refresh();
  welcome.isShown = turns.size === 0;
}

stop.addEventListener("click", () => withdraw(turns.running));

document.addEventListener("visibilitychange", lookForNews);
window.addEventListener("focus", lookForNews);
guardDrops((files) => {
  if (!composer.files.add(files)) notice.show(words.noFilesText());
});

listen(thread, turns, notice, {
  withdraw,
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
