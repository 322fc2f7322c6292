// The buttons of the turns that need nothing but the server or the clipboard, and the one
// listener for them all.

import { copy } from "../shared/clipboard.js";
import { codeOf } from "./code_button.js";
import { toMark, toNote } from "./footnotes.js";
import { copySelection, htmlOf } from "./rich_copy.js";
import * as server from "./server.js";
import * as words from "../shared/words.js";

// actions: functions of an answer, by the class of their button; `earlier` is given the button.
export function listen(thread, turns, notice, actions) {
  const own = {
    like: (answer) => rate(answer, 1, notice),
    dislike: (answer) => rate(answer, -1, notice),
    "copy-answer": (answer, button) =>
      copyTo(button, answer.content.copied, notice, htmlOf(answer.view)),
    "copy-prompt": (answer, button) => copyTo(button, answer.prompt, notice),
    more: (answer) => answer.view.toggleWhole(),
    "copy-code": (_, button) => copyTo(button, codeOf(button), notice),
    "footnote-mark": (_, button) => toNote(button),
    "footnote-back": (_, button) => toMark(button),
  };
  const all = Object.entries({ ...own, ...actions });
  thread.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const [, act] = all.find(([name]) => button.classList.contains(name)) ?? [];
    act?.(turns.of(button), button);
  });
  document.addEventListener("copy", copySelection);
}

async function copyTo(button, text, notice, html = "") {
  const isCopied = await copy(text, html);
  notice.announce(""); // so that it is heard each time
  if (!isCopied) {
    notice.show(words.notCopied());
    return;
  }
  requestAnimationFrame(() => notice.announce(words.copied()));
  button.classList.add("copied");
  setTimeout(() => button.classList.remove("copied"), 1500);
}

// Pressing what is pressed takes the rating back.
async function rate(answer, rating, notice) {
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
