// Renaming a conversation in its place, and deleting it after a question.

import { isEscape, isOfInputMethod } from "../shared/keys.js";
import { post, Refused } from "../shared/request.js";

const MAX_TITLE = 120;

const dialog = document.getElementById("side-delete");

const urlOf = (item, action) => `/conversations/${item.dataset.id}/${action}/`;

// Puts a box where the title was. Enter and leaving the box save, Escape does not.
export function rename(item, { onRenamed, onError }) {
  if (item.querySelector(".side-rename")) return;
  const link = item.querySelector(".side-link");
  const box = document.createElement("input");
  box.className = "side-rename";
  box.dir = "auto";
  box.maxLength = MAX_TITLE;
  box.value = link.textContent;
  box.setAttribute("aria-label", gettext("New title"));
  const tool = item.querySelector("[data-do=menu]");
  link.hidden = tool.hidden = true;
  link.before(box);
  box.focus();
  box.select();
  let busy = false;

  const leave = (refocus) => {
    busy = true; // removing the box blurs it
    box.remove();
    link.hidden = tool.hidden = false;
    if (refocus) tool.focus();
  };

  const save = async (refocus) => {
    if (busy) return;
    const title = box.value.replace(/\s+/g, " ").trim();
    if (title === link.textContent || (!title && !refocus)) return leave(refocus);
    if (!title) return refuse(gettext("A title cannot be empty."));
    busy = true;
    try {
      const saved = JSON.parse(await post(urlOf(item, "rename"), { title }));
      link.textContent = saved.title;
      leave(refocus);
      onRenamed(item, saved.title);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      busy = false;
      refuse(error.message);
    }
  };

  const refuse = (message) => {
    box.setAttribute("aria-invalid", "true");
    onError(message);
  };

  box.addEventListener("blur", () => save(false));
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !isOfInputMethod(event)) {
      event.preventDefault();
      save(true);
    } else if (isEscape(event)) {
      event.preventDefault();
      leave(true);
    }
  });
}

let asked = null; // what the dialog is open for

// Asks; onDeleted(item) is called when it is done, or was done elsewhere before.
export function remove(item, { onDeleted, onError }) {
  asked = { item, onDeleted, onError };
  dialog.querySelector(".side-delete-name").textContent =
    item.querySelector(".side-link").textContent;
  dialog.returnValue = "";
  dialog.showModal();
}

dialog.addEventListener("close", () => {
  if (dialog.open || !asked) return; // asked again before the event of the last time came
  const question = asked;
  asked = null;
  if (dialog.returnValue === "delete") removeNow(question);
});

async function removeNow({ item, onDeleted, onError }) {
  try {
    await post(urlOf(item, "delete"));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status !== 404) return onError(error.message);
  }
  onDeleted(item);
}
