// Calls somebody back who looks elsewhere: the title, the icon of the tab, and a notification if
// that was asked for. Each goes when the page is looked at.

import { readyTitle, turnTitle } from "../shared/wait_words.js";

const KEY = "chatstream.tell";

let unmarked = null; // the title without a mark
let marked = null;
let quietIcon = null;
let shown = null; // the notification

// Its answer begins, and nobody looks.
export function onTurn() {
  if (!document.hidden) return;
  mark((title) => `(1) ${title}`);
  notify(turnTitle());
}

// The answer is there to its end. said: what became of it
export function onReady(said) {
  if (!document.hidden) return;
  mark((title) => `${readyTitle()} · ${title}`);
  notify(readyTitle(), said);
}

// --- the tab ---

function mark(of) {
  unmark();
  unmarked = document.title;
  marked = document.title = of(unmarked);
  const icon = document.querySelector("link[rel=icon]");
  quietIcon ??= icon.getAttribute("href");
  icon.href = document.getElementById("wait-card").dataset.badge;
}

function unmark() {
  // Who has renamed the conversation meanwhile has written another title.
  if (marked !== null && document.title === marked) document.title = unmarked;
  unmarked = marked = null;
  if (quietIcon !== null) document.querySelector("link[rel=icon]").href = quietIcon;
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  unmark();
  shown?.close();
  shown = null;
});

// --- notifications ---

// False where there are none: in a browser without them, or over plain HTTP.
export function canTell() {
  return isSecureContext && "Notification" in globalThis;
}

export function isTelling() {
  return canTell() && Notification.permission === "granted" && attempt(() => localStorage.getItem(KEY)) === "1";
}

// Asks the browser; call it from a click. Resolves to whether it may be done.
export async function askToTell() {
  return (await Notification.requestPermission()) === "granted";
}

export function tell() {
  attempt(() => localStorage.setItem(KEY, "1"));
}

export function tellNoMore() {
  attempt(() => localStorage.removeItem(KEY));
}

// Without a word of the answer: whoever is at the screen may not be its reader.
function notify(title, body = "") {
  if (!isTelling()) return;
  const options = { body, tag: location.pathname, icon: quietIcon ?? undefined };
  try {
    shown = new Notification(title, options);
    shown.addEventListener("click", () => {
      window.focus();
      shown?.close();
    });
  } catch {
    // Chromium on Android shows those of a service worker only.
    navigator.serviceWorker
      ?.getRegistration()
      .then((registration) => registration?.showNotification(title, options))
      .catch(() => {});
  }
}

// Storage may be switched off.
function attempt(work) {
  try {
    return work();
  } catch {
    return undefined;
  }
}
