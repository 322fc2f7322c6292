// Keyboard shortcuts of the chat page: what each does is done by the page's own buttons. "?" lists
// them in a dialog that is made when it is first asked for.

import { isOfInputMethod } from "../shared/keys.js";

const isMac = /Mac|iPhone|iPad/.test(navigator.userAgentData?.platform ?? navigator.platform);
const byId = (id) => document.getElementById(id);

const OPEN = "dialog[open], :popover-open, [role=menu]:not([hidden]), #app[data-drawer=open]";
const KEPT = "completed, incomplete, cancelled, failed".split(", ");

let wasOpen = false; // what Escape closes, before anything has heard of the key

function newChat() {
  const { home } = byId("side").dataset;
  if (location.pathname === home) byId("prompt").focus();
  else location.assign(home);
}

function search() {
  const query = byId("side-query");
  if (byId("side-open").getAttribute("aria-expanded") === "false") byId("side-open").click();
  query.focus();
  query.select();
}

function copyLast() {
  const answers = [...document.querySelectorAll(".answer")];
  const last = answers.findLast((answer) => KEPT.includes(answer.dataset.status));
  const button = last?.closest(".turn").querySelector(".copy-answer");
  if (button && !button.hidden) button.click();
}

// Also where the button is not shown, since the box has text.
function stopAnswer() {
  if (!document.querySelector('.answer[data-status="in_progress"]')) return false;
  byId("stop").click();
  return true;
}

function list() {
  let dialog = byId("shortcuts");
  if (!dialog) {
    document.body.append(byId("shortcuts-template").content.cloneNode(true));
    dialog = byId("shortcuts");
    const named = isMac ? dialog.querySelectorAll("[data-mac]") : [];
    for (const key of named) key.textContent = key.dataset.mac;
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close(); // beside the panel
    });
  }
  if (!dialog.open) dialog.showModal();
}

const WITH_SHIFT = { o: newChat, c: copyLast };
const PLAIN = { k: search, "/": list };

// The letter that is meant, also where the layout writes others than Latin ones.
function letterOf({ key, code }) {
  if (/^[\x21-\x7e]$/.test(key)) return key.toLowerCase();
  return /^Key[A-Z]$/.test(code) ? code.slice(3).toLowerCase() : key;
}

const isText = (element) =>
  element.matches?.("textarea, select, [contenteditable], input:not([type=checkbox], [type=radio])");

// Returns what to do for a key press, if anything.
function actionOf(event) {
  const { key, target } = event;
  const mod = isMac ? event.metaKey : event.ctrlKey;
  const other = isMac ? event.ctrlKey : event.metaKey;
  if (other || event.altKey) return null;
  if (mod) return (event.shiftKey ? WITH_SHIFT : PLAIN)[letterOf(event)];
  if (key === "Escape" && event.shiftKey) return () => byId("prompt").focus();
  if (key === "Escape") return !isText(target) || target.id === "prompt" ? stopAnswer : null;
  return key === "?" && !isText(target) ? list : null;
}

document.addEventListener(
  "keydown",
  (event) => {
    if (event.key === "Escape") wasOpen = document.querySelector(OPEN) !== null;
  },
  true,
);

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.repeat || isOfInputMethod(event)) return;
  if (event.key === "Escape" ? wasOpen : document.querySelector("dialog:modal")) return;
  const act = actionOf(event);
  if (act && act() !== false) event.preventDefault();
});
