// The side list of conversations: joins its frame, its items and the search.
//
// The chat page says what happens in it by events on `document`: `conversation` with
// {id, title} for one that has just begun, `conversation-touched` with {id}, `conversation-state`
// with {id, state}. What a row's menu does not do itself is said by `conversation-action`
// (side_menu.js).

import { isEscape } from "../shared/keys.js";
import { cookie, setCookie } from "../shared/request.js";
import { closeDrawer } from "./side_frame.js";
import { SideList } from "./side_list.js";
import { States } from "./side_states.js";

const SEARCH_DELAY = 250;

const side = document.getElementById("side");
const search = document.getElementById("side-search");
const query = document.getElementById("side-query");
const list = new SideList(search.getAttribute("action"));
new States(list);

const isCurrent = (item) => item.querySelector(".side-link").hasAttribute("aria-current");

function onRenamed(item, title) {
  list.say(gettext("Renamed."));
  if (!isCurrent(item)) return;
  document.title = `${title} · ChatStream`;
  document.querySelector("h1").textContent = title;
}

function onDeleted(item) {
  if (isCurrent(item)) {
    location.assign(side.dataset.home);
    return;
  }
  list.remove(item).focus();
  list.say(gettext("Deleted."));
}

const onError = (message) => list.say(message);

const items = document.getElementById("side-list");

items.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  list.say("");
  if (button.matches(".side-more")) list.showMore(button);
  else if (button.dataset.do === "menu") openMenu(button);
});
items.addEventListener("keydown", (event) => {
  if (event.key !== "ArrowDown" || !event.target.matches?.("[data-do=menu]")) return;
  event.preventDefault();
  openMenu(event.target);
});
items.addEventListener("toggle", ({ target }) => list.loadShelf(target), true);

async function openMenu(button) {
  try {
    const menu = await import("./side_menu.js");
    menu.toggle(button, { list, onRenamed, onDeleted, onError });
  } catch {
    onError(gettext("The server cannot be reached. Try again in a moment."));
  }
}

// --- searching ---

let timer;

function searchSoon(delay) {
  clearTimeout(timer);
  timer = setTimeout(() => list.refresh(query.value.trim()), delay);
}

query.addEventListener("input", (event) => {
  if (!event.isComposing) searchSoon(SEARCH_DELAY);
});
query.addEventListener("compositionend", () => searchSoon(SEARCH_DELAY));
query.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !query.value) return;
  event.preventDefault(); // the drawer stays, and so does the word of an input method
  if (!isEscape(event)) return;
  query.value = "";
  searchSoon(0);
});
search.addEventListener("submit", (event) => {
  event.preventDefault();
  searchSoon(0);
});

// --- what happens on the page ---

// Also lets the server say who the browser is now, before its next socket is opened.
document.addEventListener("identity", () => list.refresh());
document.addEventListener("signed-out", () => {
  list.clear();
  list.refresh(""); // what the visitor has whom the browser is now
  for (const own of side.querySelectorAll(".side-foot > .side-account, [data-do=sign-out]")) own.remove();
});
document.addEventListener("conversation", ({ detail }) => list.add(detail.id, detail.title));
document.addEventListener("conversation-touched", ({ detail }) => list.touch(detail.id));

side.addEventListener("click", (event) => {
  // A new chat has got its address since these links were rendered.
  const entry = event.target.closest(".side-entry a");
  if (entry) entry.search = `?next=${encodeURIComponent(location.pathname)}`;
  // A link to where we are: only the drawer is in the way.
  const link = event.target.closest(".side-link[aria-current]");
  if (!link || link.search || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  closeDrawer();
});

// The server groups by the reader's days as soon as it knows their time zone.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && cookie("timezone") !== zone) {
  setCookie("timezone", zone);
  if (zone !== "UTC" && list.items().length) list.refresh();
}

// A search has led here.
if (new URLSearchParams(location.search).has("find")) import("./found.js");
