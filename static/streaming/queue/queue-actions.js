// Actions in the live queue without leaving the page. Without this script each is a whole page;
// here the same forms go the same way, and what the answering page says is shown on this one.

import { isOfInputMethod } from "../shared/keys.js";
import { cookie, reply } from "../shared/request.js";

const FORM = "queue-form";
const NEXT_STEP = "queue-confirm"; // the form of a page that asks first

let busy = false;

// --- acting ---

document.addEventListener("submit", (event) => {
  const { target: form, submitter } = event;
  if (form.id !== FORM || !submitter) return;
  const url = submitter.getAttribute("formaction");
  if (!url) return;
  event.preventDefault();
  act(form, submitter, new URL(url, location.href));
});

// Enter in a field presses the button that belongs to it, not the form's first one.
document.addEventListener("keydown", (event) => {
  const field = event.target;
  if (event.key !== "Enter" || isOfInputMethod(event) || !(field instanceof HTMLInputElement)) return;
  if (field.form?.id !== FORM || field.type === "submit") return;
  event.preventDefault();
  buttonOf(field)?.click();
});

function buttonOf(field) {
  const [name, worker] = splitOnce(field.name ?? "", ":");
  if (name === "position") return field.parentElement.querySelector("button");
  const all = [...field.form.elements].filter((element) => element.matches("button"));
  const leadsTo = (end) => (button) => button.getAttribute("formaction")?.endsWith(end);
  if (field.name === "closed_message") return all.find(leadsTo("/close/"));
  if (name !== "capacity") return undefined;
  return all.filter(leadsTo("/capacity/")).find((button) => button.value === worker);
}

function splitOnce(text, mark) {
  const at = text.indexOf(mark);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + mark.length)];
}

async function act(form, submitter, url) {
  if (busy) return;
  const again = finder(submitter);
  const region = submitter.closest("[tabindex]") ?? document.getElementById("waiting")?.closest("[tabindex]");
  const fields = new FormData(form, submitter);
  const free = occupy(form);
  try {
    let page = await post(url, fields);
    while (page?.getElementById(NEXT_STEP)) {
      const answer = await ask(page);
      page = answer && (await post(answer.url, answer.fields));
    }
    if (page) {
      const undo = isUndone(url) ? null : page.querySelector("#queue-undo button");
      show([...page.querySelectorAll(".messagelist > li")].map(said), undo);
    }
  } finally {
    free();
    document.dispatchEvent(new Event("queue:acted"));
    if (document.activeElement === document.body) {
      (again() ?? region)?.focus({ preventScroll: true });
    }
  }
}

// Only what was just moved is offered to be taken back.
function isUndone(url) {
  return !url.pathname.endsWith("/move/");
}

// One action at a time: its buttons are off until it is over.
function occupy(form) {
  busy = true;
  form.setAttribute("aria-busy", "true");
  const off = [...form.elements].filter((element) => element.matches("button:not(:disabled)"));
  for (const button of off) button.disabled = true;
  return () => {
    busy = false;
    form.removeAttribute("aria-busy");
    for (const button of off) button.disabled = false;
  };
}

// The live page may have replaced a row and its buttons meanwhile, or shows the other one of two.
function finder(button) {
  const is = (other) =>
    ["formaction", "name", "value"].every((a) => other.getAttribute(a) === button.getAttribute(a));
  return () => {
    const same = button.isConnected ? button : [...document.querySelectorAll("button")].find(is);
    const menu = same?.closest("[popover]:not(:popover-open)");
    if (menu) return document.querySelector(`[popovertarget="${CSS.escape(menu.id)}"]`);
    if (!same?.closest("[hidden]")) return same;
    const pair = same.closest(".cs-pair")?.querySelectorAll("button") ?? [];
    return [...pair].find((other) => !other.closest("[hidden]"));
  };
}

// The answering page, or nothing when there is none; that is said.
async function post(url, fields) {
  const body = new URLSearchParams(fields);
  const token = cookie("csrftoken");
  if (token) body.set("csrfmiddlewaretoken", token); // the page's own is old after a new sign-in
  let response;
  try {
    response = await reply(url, { method: "POST", body });
    if (response.ok && isLogin(response.url)) {
      location.assign(response.url);
      return null;
    }
    const text = await response.text();
    if (response.ok) return new DOMParser().parseFromString(text, "text/html");
  } catch {
    complain(
      gettext("The server cannot be reached. Look at the queue before you try again: this may have been done, or not."),
    );
    return null;
  }
  complain(reason(response.status));
  return null;
}

function isLogin(url) {
  return new URL(url).pathname.endsWith("/login/");
}

function reason(status) {
  if (status === 403) return gettext("You may not do this, or this page is too old. Reload it.");
  if (status === 400) return gettext("Too much is selected at once, or this page is too old.");
  return gettext("Something went wrong on the server. Look at the queue before you try again.");
}

// --- asking first ---

// Resolves to the confirmed form, or to nothing when the answer is no.
function ask(page) {
  const dialog = document.createElement("dialog");
  dialog.className = "cs-dialog delete-confirmation";
  const title = document.createElement("h2");
  title.id = "queue-dialog-title";
  title.textContent = page.querySelector("#content h1")?.textContent ?? page.title;
  const form = document.importNode(page.getElementById(NEXT_STEP), true);
  dialog.setAttribute("aria-labelledby", title.id);
  dialog.append(title, form);
  document.body.append(dialog);
  return new Promise((resolve) => {
    let answer = null;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      answer = { url: new URL(form.getAttribute("action"), location.href), fields: new FormData(form) };
      dialog.close();
    });
    const no = form.querySelector(".cancel-link");
    no.addEventListener("click", (event) => {
      event.preventDefault();
      dialog.close();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    dialog.showModal();
    no.focus(); // who only presses Enter does no harm
  });
}

// --- saying what was done ---

const SHOWN = 20_000; // milliseconds for which a success is said; while it is pointed at, for longer
const UNDOABLE = 90_000; // of which it can be taken back

let timer = 0;

const place = document.createElement("div");
place.className = "cs-messages";
place.setAttribute("role", "status");
document.getElementById("content")?.before(place);

function said(item) {
  return { text: item.textContent.trim(), level: item.className };
}

function complain(text) {
  show([{ text, level: "error" }]);
}

function show(items, undo = null) {
  for (const old of document.querySelectorAll(".messagelist, #queue-undo")) old.remove();
  const list = document.createElement("ul");
  list.className = "messagelist";
  for (const { text, level } of items) {
    const item = document.createElement("li");
    item.className = level;
    item.textContent = text;
    list.append(item);
  }
  if (undo) list.firstElementChild?.append(" ", document.importNode(undo, true));
  const close = document.createElement("button");
  close.type = "button";
  close.className = "cs-messages-close";
  close.setAttribute("aria-label", gettext("Close the message"));
  close.textContent = "×";
  close.addEventListener("click", () => place.replaceChildren());
  place.replaceChildren(...(items.length ? [list, close] : []));
  clearTimeout(timer);
  // What went wrong stays until somebody has read it.
  if (items.every(({ level }) => level === "success")) {
    timer = setTimeout(fade, undo ? UNDOABLE : SHOWN);
  }
}

function fade() {
  if (place.matches(":hover, :focus-within")) timer = setTimeout(fade, SHOWN);
  else place.replaceChildren();
}
