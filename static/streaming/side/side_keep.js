// Pinning and archiving a conversation, and moving it to a folder: the list is asked for anew.

import { post, Refused } from "../shared/request.js";

const dialog = document.getElementById("side-folder");
const box = document.getElementById("side-folder-box");

export async function keep(item, fields, said, { list, onError }) {
  try {
    await post(`/conversations/${item.dataset.id}/keep/`, fields);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return onError(error.message);
  }
  await list.refreshAround(item);
  list.say(said);
}

let asked = null; // what the dialog is open for

export function moveToFolder(item, then) {
  asked = { item, then };
  dialog.querySelector(".side-folder-name").textContent =
    item.querySelector(".side-link").textContent;
  const names = document.querySelectorAll("#side-list .side-shelf[data-folder]");
  document.getElementById("side-folders").replaceChildren(
    ...[...names].map(({ dataset }) => new Option(dataset.folder, dataset.folder)),
  );
  box.value = item.dataset.folder ?? "";
  dialog.returnValue = "";
  dialog.showModal();
  box.select();
}

dialog.querySelector("[data-do=cancel]").addEventListener("click", () => dialog.close(""));

dialog.addEventListener("close", () => {
  if (dialog.open || !asked) return; // asked again before the event of the last time came
  const { item, then } = asked;
  asked = null;
  if (dialog.returnValue !== "move") return;
  const folder = box.value.replace(/\s+/g, " ").trim();
  const said = folder
    ? interpolate(gettext("Moved to “%s”."), [folder])
    : gettext("Taken out of its folder.");
  keep(item, { folder }, said, then);
});
