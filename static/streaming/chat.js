// The chat page: joins the socket, the message box and the turns.
//
// A response's id is made here, so that sending it again is never a second answer.

import { Answer } from "./answer.js";
import { Banner } from "./banner.js";
import { copy } from "./clipboard.js";
import { codeOf } from "./code_button.js";
import { Composer } from "./composer.js";
import { Draft } from "./draft.js";
import { edit } from "./editor.js";
import { Notice } from "./notice.js";
import { Path } from "./path.js";
import { Scroll } from "./scroll.js";
import * as server from "./server.js";
import { Settings } from "./settings.js";
import { newId, Socket } from "./socket.js";
import { TurnView } from "./turn_view.js";
import * as words from "./words.js";

const config = JSON.parse(document.getElementById("config").textContent);
const thread = document.getElementById("thread");
const stop = document.getElementById("stop");
const connection = document.getElementById("connection");

let conversationId = config.conversation_id;
let onBranch = config.on_branch; // the reader chose another path than the newest
let announcedPlace = "";
let newestId = document.getElementById("turns").dataset.newest;

const path = new Path(document.getElementById("turns"));
const scroll = new Scroll();
const notice = new Notice(() => composer.rest());
const settings = new Settings();
const draft = new Draft(config.owner, conversationId);
const composer = new Composer(config.max_input_chars, { onSend: ask, onUp: editLast });
const banner = new Banner((answer) => {
  cancel(answer);
  composer.rest();
});
const socket = new Socket("/ws/chat/?markup=html", { onEvent, onState });

// --- asking ---

function ask(text) {
  notice.show("");
  add(Answer.create(newId(), text, { params: settings.params }));
  scroll.toBottom();
}

// Puts an answer at the end of the path and sends it as soon as its turn has come.
function add(answer) {
  path.add(answer);
  adopt(answer);
  leaveBranch();
  submitWaiting();
  refresh();
}

function adopt(answer) {
  answer.text.onGrow = () => scroll.follow();
}

// In the place of an answer and of all after it; what is still open of them is stopped.
function replace(old, id, prompt, task) {
  const { versions, previous } = old.view.details;
  const cut = path.cut(old);
  for (const answer of cut) if (answer.isOpen) cancel(answer);
  const answer = Answer.create(id, prompt, {
    task,
    params: settings.params,
    versions,
    previous,
  });
  answer.replaced = cut;
  add(answer);
  scroll.toBottom();
}

function regenerate(answer) {
  notice.show("");
  if (answer.confirmed) replace(answer, newId(), answer.prompt, { regenerates: answer.id });
  else {
    path.remove(answer); // the server never had it
    ask(answer.prompt);
  }
  composer.rest();
}

function goOn(answer) {
  notice.show("");
  answer.goOn(newId(), settings.params);
  path.renamed();
  leaveBranch();
  submitWaiting();
  refresh();
  composer.rest();
}

function startEditing(answer, text) {
  edit(answer.view, {
    limit: () => composer.limit,
    sends: !answer.waits,
    text,
    onSave: (saved) => save(answer, saved),
  });
}

function editLast() {
  const { last } = path;
  if (last && !last.view.find(".edit").hidden) startEditing(last);
}

function save(answer, text) {
  if (path.get(answer.id) !== answer) ask(text); // it has left the page meanwhile
  else if (!answer.waits) {
    notice.show("");
    replace(answer, newId(), text, {});
    composer.rest();
  } else if (text !== answer.prompt) {
    answer.edit = answer.sent ? { text, before: answer.prompt } : null;
    answer.view.prompt = text;
    sendEdit(answer);
  }
}

function sendEdit(answer) {
  if (!answer.edit || !answer.confirmed) return;
  const event_id = `update:${answer.id}`;
  const response_id = answer.id;
  socket.send({ type: "response.update", event_id, response_id, input: answer.edit.text }, true);
}

// One after the other: each names the one before it, which the server must know by then.
function submitWaiting() {
  for (const answer of path.open) {
    if (!answer.submitted) submit(answer);
    if (!answer.confirmed) return;
  }
}

// What the server has is told again; anything else is sent (again: its id makes it the same).
function submit(answer) {
  const response_id = answer.id;
  const event = answer.confirmed
    ? { type: "response.resume", event_id: `create:${response_id}`, response_id }
    : createEvent(answer);
  answer.submitted = socket.send(event, !answer.confirmed);
  answer.sent ||= answer.submitted;
}

function createEvent(answer) {
  const common = {
    type: "response.create",
    event_id: `create:${answer.id}`,
    response_id: answer.id,
    conversation_id: conversationId,
    params: answer.params,
  };
  if (answer.task.regenerates || answer.task.continues) return { ...common, ...answer.task };
  return { ...common, input: answer.prompt, previous_response_id: path.previousOf(answer) };
}

function cancel(answer) {
  if (!answer) return;
  if (answer.sent) {
    const event_id = `cancel:${answer.id}`;
    socket.send({ type: "response.cancel", event_id, response_id: answer.id });
  } else if (path.get(answer.id)) takeBack(answer);
}

// What the server does not have: the page is as before, and the prompt in the box if it is empty.
function takeBack(answer) {
  if (answer.task.continues) {
    answer.goBack();
    path.renamed();
  } else {
    path.remove(answer);
    const before = answer.replaced ?? [];
    for (const earlier of before) if (earlier.isOpen) earlier.interrupt(false); // is told again
    path.restore(before);
    if (!answer.task.regenerates && composer.isEmpty) composer.text = answer.prompt;
  }
  refresh();
}

// --- what the server says ---

function onEvent(event) {
  if (event.type === "session.created") greet(event);
  else if (event.type === "error") onError(event);
  else {
    const answer = path.get(event.response_id);
    if (answer) onResponseEvent(answer, event);
  }
}

function greet(event) {
  socket.settled();
  document.getElementById("model").textContent = event.model ?? "";
  composer.limit = event.limits.max_input_chars;
  settings.maxTokens = event.limits.max_tokens;
  const isBack = connection.dataset.state === "lost";
  if (isBack) {
    notice.show("");
    notice.announce(words.backText());
  }
  onState("open");
  for (const answer of path.open) {
    answer.interrupt(false);
    sendEdit(answer);
  }
  submitWaiting();
  if (isBack) lookForNews();
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
      if (answer.start(event)) notice.announce(words.beginsAnnouncement());
      break;
    case "response.output_text.delta":
      answer.append(event);
      return; // nothing else on the page changes
    case "response.done":
      answer.finish(event);
      notice.announce(words.doneAnnouncement(event.status));
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
    newestId = answer.id;
    const { conversation_id: id } = event;
    if (conversationId) tell("conversation-touched", { id: conversationId });
    else begin(id, answer.prompt);
  }
  sendEdit(answer);
  submitWaiting();
}

function begin(id, prompt) {
  conversationId = id;
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
  const answer = path.get(id);
  const text = words.errorText(event, composer.limit);
  if (kind === "cancel") {
    // `already_done` crossed with the end of the answer, which is on its way.
    if (event.code !== "already_done") notice.show(text);
  } else if (kind === "update" && answer?.edit) {
    onEditRefused(answer, event.code, text);
  } else if (kind === "create" && answer?.isOpen) {
    reject(answer, event.code, text);
  } else if (event.code !== "login_required") {
    notice.show(text, { link: wayOn(event.code) });
  }
}

function onEditRefused(answer, code, text) {
  const wanted = answer.edit.text;
  answer.view.prompt = answer.edit.before;
  answer.edit = null;
  notice.show(code === "already_started" ? words.editedTooLateText() : text);
  if (composer.isEmpty) {
    composer.text = wanted;
    composer.focus();
  } else startEditing(answer, wanted);
}

function reject(answer, code, text) {
  const isUnknown = !answer.confirmed && !answer.lastSequence;
  if (isUnknown && (answer.replaced || answer.task.continues || composer.isEmpty)) {
    takeBack(answer);
    notice.show(text, { link: wayOn(code) });
  } else answer.fail(text);
  submitWaiting();
  refresh();
}

function wayOn(code) {
  if (code !== "not_found" && code !== "forbidden") return null;
  return { href: "/", text: words.newChatText() };
}

// --- the connection ---

function onState(state, code = 0) {
  connection.dataset.state = state;
  connection.querySelector(".connection-text").textContent = words.connectionText(state);
  if (state === "lost" || state === "refused") {
    for (const answer of path.open) answer.interrupt(true);
  }
  if (state === "lost") notice.show(words.lostText(code), { stays: true });
  if (state === "refused") {
    const link = { href: location.href, text: words.signInText() };
    notice.show(words.errorText({ code: "login_required" }), { link, stays: true });
  }
  refresh();
}

function refresh() {
  const isOnline = connection.dataset.state === "open";
  const { waiting } = path;
  stop.hidden = !isOnline || !path.running;
  banner.show(waiting, isOnline);
  announcePlace(waiting[0]);
  document.getElementById("welcome").hidden = path.size > 0;
}

// Only news: the line must not speak over what was said meanwhile.
function announcePlace(answer) {
  const place = answer?.place ? answer.placeText() : "";
  if (place && place !== announcedPlace) notice.announce(place);
  announcedPlace = place;
}

stop.addEventListener("click", () => {
  cancel(path.running);
  composer.rest();
});

// --- other paths through the conversation ---

function adoptPage(element) {
  return [...element.querySelectorAll(".turn")].map((turn) => {
    const answer = new Answer(new TurnView(turn));
    answer.confirmed = answer.sent = true;
    adopt(answer);
    return answer;
  });
}

const hasUnsent = () => path.open.some((answer) => !answer.confirmed);

// Shows the path that leads through a response, or the newest one.
async function show(query) {
  if (hasUnsent()) {
    notice.show(words.unsentText());
    return false;
  }
  const element = await load(query);
  if (!element || hasUnsent()) return false;
  newestId = element.dataset.newest;
  path.replace(element, adoptPage(element));
  onBranch = "leaf" in query;
  const address = onBranch ? `/c/${conversationId}/?leaf=${query.leaf}` : `/c/${conversationId}/`;
  history.replaceState(null, "", address);
  submitWaiting();
  refresh();
  return true;
}

async function load(query) {
  try {
    return await server.turns(conversationId, query);
  } catch (error) {
    tellLoss(error);
    return null;
  }
}

function tellLoss(error) {
  if (error instanceof server.Gone) notice.show(words.goneText(), { link: wayOn("not_found") });
  else notice.show(words.notLoadedText());
}

async function choose(answer, step) {
  const { versions } = answer.view.details;
  const number = versions.indexOf(answer.id) + step;
  if (number < 0 || number >= versions.length) return;
  const top = scroll.topOf(answer.view.element);
  if (!(await show({ leaf: versions[number] }))) return;
  const chosen = path.get(versions[number]);
  if (!chosen) return;
  scroll.place(chosen.view.element, top);
  chosen.view.find(step < 0 ? ".older" : ".newer").focus({ preventScroll: true });
  notice.announce(words.versionText(number + 1, versions.length));
}

// The next prompt goes on from here: this path is the newest again.
function leaveBranch() {
  if (onBranch && conversationId) history.replaceState(null, "", `/c/${conversationId}/`);
  onBranch = false;
}

async function showEarlier(button) {
  const before = path.all[0]?.id;
  const leaf = path.last?.id;
  button.disabled = true;
  const element = before ? await load({ before, leaf }) : null;
  button.disabled = false;
  if (!element || path.all[0]?.id !== before) return;
  const answers = adoptPage(element);
  scroll.keep(() => {
    button.closest(".earlier").replaceWith(...element.childNodes);
    path.adopt(answers);
  });
  answers.at(-1)?.view.find(".copy-prompt").focus({ preventScroll: true });
}

// Another tab may have gone on with this conversation while nobody looked at this one.
async function lookForNews() {
  if (document.hidden || !conversationId || onBranch || hasUnsent()) return;
  if (thread.querySelector(".editor")) return;
  try {
    const found = await server.newest(conversationId);
    if (!found || found === newestId || path.get(found) || hasUnsent()) return;
    if (await show({})) notice.announce(words.newMessagesText());
  } catch (error) {
    if (error instanceof server.Gone) tellLoss(error); // else: the socket tells of it
  }
}

document.addEventListener("visibilitychange", lookForNews);
window.addEventListener("focus", lookForNews);

// --- the buttons of the turns ---

const ACTIONS = {
  withdraw(answer) {
    cancel(answer);
    composer.rest();
  },
  retry: regenerate,
  regenerate,
  continue: goOn,
  edit: (answer) => startEditing(answer),
  older: (answer) => choose(answer, -1),
  newer: (answer) => choose(answer, 1),
  like: (answer) => rate(answer, 1),
  dislike: (answer) => rate(answer, -1),
  "copy-answer": (answer, button) => copyTo(button, answer.text.source),
  "copy-prompt": (answer, button) => copyTo(button, answer.prompt),
};

thread.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.matches(".copy-code")) copyTo(button, codeOf(button));
  else if (button.closest(".earlier")) showEarlier(button);
  else {
    const answer = path.of(button);
    const name = Object.keys(ACTIONS).find((action) => button.classList.contains(action));
    if (answer && name) ACTIONS[name](answer, button);
  }
});

async function copyTo(button, text) {
  const isCopied = await copy(text);
  notice.announce(""); // so that it is heard each time
  requestAnimationFrame(() => notice.announce(isCopied ? words.copied() : words.notCopied()));
  if (!isCopied) {
    notice.show(words.notCopied());
    return;
  }
  button.classList.add("copied");
  setTimeout(() => button.classList.remove("copied"), 1500);
}

async function rate(answer, rating) {
  const { view } = answer;
  const before = view.details.rating;
  view.details.rating = before === rating ? 0 : rating;
  view.showRating();
  try {
    await server.rate(answer.id, view.details.rating);
    notice.announce(words.rated(view.details.rating));
  } catch {
    view.details.rating = before;
    view.showRating();
    notice.show(words.notRatedText());
  }
}

// --- the beginning ---

path.adopt(adoptPage(thread));
if (composer.isEmpty) composer.text = draft.text;
composer.onChange = (text) => {
  draft.text = text;
};
refresh();
scroll.toBottom();
socket.connect();
