// The dialog that shares and exports a conversation. The server renders what it shows; its forms
// are sent from here, and what comes back takes their place.

import { copy } from "../shared/clipboard.js";
import { get, post } from "../shared/request.js";

let dialog = null;

// address: of the conversation's sharing page; leaf: the last response of the path that is shown,
// "" for the newest; style: the address of the dialog's stylesheet. Rejects if it cannot be loaded.
export async function openSharing(address, leaf, style) {
  const query = new URLSearchParams({ part: "dialog", ...(leaf && { leaf }) });
  const [html] = await Promise.all([get(`${address}?${query}`), loadStyle(style)]);
  dialog ??= make();
  fill(html);
  dialog.showModal();
}

function make() {
  const made = document.createElement("dialog");
  made.className = "sharing";
  made.setAttribute("aria-labelledby", "sharing-title");
  made.addEventListener("submit", send);
  made.addEventListener("click", (event) => {
    if (event.target === made) made.close(); // beside it
    if (event.target.closest("[data-do=close]")) made.close();
    if (event.target.closest("[data-do=copy]")) copyLink();
  });
  document.body.append(made);
  return made;
}

function fill(html) {
  dialog.innerHTML = html;
  const model = document.getElementById("model")?.textContent.trim();
  if (!model) return;
  for (const link of dialog.querySelectorAll("a[data-model]")) {
    link.href += `&${new URLSearchParams({ model })}`;
  }
}

async function send(event) {
  const form = event.target;
  if (form.method !== "post") return;
  event.preventDefault();
  const { says } = event.submitter.dataset;
  const action = event.submitter.getAttribute("formaction") ?? form.action;
  const fields = Object.fromEntries(new FormData(form, event.submitter));
  const buttons = [...dialog.querySelectorAll("button")];
  for (const each of buttons) each.disabled = true;
  try {
    fill(await post(action, { ...fields, part: "dialog" }));
    const said = dialog.querySelector(".sharing-status");
    said.textContent = said.dataset[says];
    dialog.querySelector("#sharing-link, [data-first]")?.focus();
  } catch (error) {
    for (const each of buttons) each.disabled = false;
    const told = dialog.querySelector(".sharing-refusal");
    told.textContent = error.message;
    told.hidden = false;
  }
}

async function copyLink() {
  const field = dialog.querySelector("#sharing-link");
  const said = dialog.querySelector(".sharing-status");
  field.select();
  said.textContent = (await copy(field.value)) ? said.dataset.copied : said.dataset.failed;
}

const styles = new Map();

function loadStyle(href) {
  if (!styles.has(href)) {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = href;
    styles.set(
      href,
      new Promise((resolve) => {
        link.addEventListener("load", resolve);
        link.addEventListener("error", resolve); // plain, but there
      }),
    );
    document.head.append(link);
  }
  return styles.get(href);
}
