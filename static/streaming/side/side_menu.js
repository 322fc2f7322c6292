// The menu of a conversation: one for all rows. It is loaded when one is first opened.

import { isEscape } from "../shared/keys.js";
import { remove, rename } from "./side_edit.js";
import { keep, moveToFolder } from "./side_keep.js";

const MARGIN = 4; // pixels between a button and its menu

const side = document.getElementById("side");
const menu = document.getElementById("side-menu");
const scroller = document.getElementById("side-list");

// Its style sheet comes with it.
const styled = new Promise((resolve) => {
  const sheet = document.createElement("link");
  sheet.rel = "stylesheet";
  sheet.href = menu.dataset.styles;
  sheet.onload = sheet.onerror = resolve;
  document.head.append(sheet);
});

let opened = null; // {button, item, then}: whose menu it is

const entries = () => [...menu.querySelectorAll("[role=menuitem]:not([hidden])")];

// then: {list, onRenamed, onDeleted, onError}
export async function toggle(button, then) {
  await styled;
  const isOpen = opened?.button === button;
  close(isOpen);
  if (!isOpen) open(button, then);
}

function open(button, then) {
  const item = button.closest(".side-item");
  opened = { button, item, then };
  const { dataset } = item;
  const shown = { pin: !("pinned" in dataset), archive: !("archived" in dataset) };
  show("pin", shown.pin && shown.archive);
  show("unpin", !shown.pin);
  show("archive", shown.archive);
  show("unarchive", !shown.archive);
  button.setAttribute("aria-expanded", "true");
  menu.setAttribute("aria-describedby", item.querySelector(".side-link").id);
  menu.hidden = false;
  place(button);
  entries()[0].focus();
  document.addEventListener("pointerdown", onOutside, true);
  scroller.addEventListener("scroll", onScroll);
  window.addEventListener("resize", onScroll);
}

const show = (name, isShown) => {
  menu.querySelector(`[data-do="${name}"]`).hidden = !isShown;
};

// Below the button, or above it where there is no room.
function place(button) {
  const frame = side.getBoundingClientRect();
  const spot = button.getBoundingClientRect();
  const below = spot.bottom + MARGIN;
  const fits = below + menu.offsetHeight <= window.innerHeight;
  const top = fits ? below : Math.max(MARGIN, spot.top - MARGIN - menu.offsetHeight);
  const isRtl = getComputedStyle(side).direction === "rtl";
  const end = isRtl ? spot.left - frame.left : frame.right - spot.right;
  menu.style.insetBlockStart = `${top - frame.top}px`;
  menu.style.insetInlineEnd = `${end}px`;
}

export function close(refocus) {
  if (!opened) return;
  const { button } = opened;
  opened = null;
  menu.hidden = true;
  button.setAttribute("aria-expanded", "false");
  document.removeEventListener("pointerdown", onOutside, true);
  scroller.removeEventListener("scroll", onScroll);
  window.removeEventListener("resize", onScroll);
  if (refocus) button.focus();
}

function onOutside({ target }) {
  if (!menu.contains(target) && !opened.button.contains(target)) close(false);
}

const onScroll = () => close(menu.contains(document.activeElement));

menu.addEventListener("keydown", (event) => {
  const all = entries();
  const index = all.indexOf(document.activeElement);
  const steps = { ArrowDown: index + 1, ArrowUp: index - 1, Home: 0, End: -1 };
  if (event.key in steps) all.at(steps[event.key] % all.length).focus();
  else if (isEscape(event) || event.key === "Tab") close(true);
  else if (event.key.length === 1 && event.key !== " ") startingWith(event.key, all, index)?.focus();
  else return;
  if (event.key !== "Tab") event.preventDefault();
});

// The next entry whose name begins with a letter.
function startingWith(letter, all, index) {
  const turned = [...all.slice(index + 1), ...all.slice(0, index + 1)];
  const wanted = letter.toLocaleLowerCase();
  return turned.find((each) => each.textContent.trim().toLocaleLowerCase().startsWith(wanted));
}

menu.addEventListener("click", (event) => {
  const entry = event.target.closest("[data-do]");
  if (!entry || !opened) return;
  const { item, then } = opened;
  const action = entry.dataset.do;
  close(true); // what is done next takes the focus from there, and gives it back
  if (action === "rename") rename(item, then);
  else if (action === "delete") remove(item, then);
  else if (action === "folder") moveToFolder(item, then);
  else if (action === "pin") keep(item, { pinned: 1 }, gettext("Pinned."), then);
  else if (action === "unpin") keep(item, { pinned: 0 }, gettext("Unpinned."), then);
  else if (action === "archive") keep(item, { archived: 1 }, gettext("Archived."), then);
  else if (action === "unarchive") {
    keep(item, { archived: 0 }, gettext("Taken out of the archive."), then);
  } else {
    const link = item.querySelector(".side-link");
    const detail = { id: item.dataset.id, title: link.textContent, action };
    document.dispatchEvent(new CustomEvent("conversation-action", { detail }));
  }
});
