// The theme that was chosen, at once: here, in every other tab of ours, and for the next page by the
// server. A form that offers it has a field named `theme`; without this script its button does.

import { post, Refused } from "./request.js";

const BACKGROUNDS = { light: "#faf9f6", dark: "#171816" }; // --bg of tokens.css
const SYSTEM = "system";

const root = document.documentElement;
const tabs = "BroadcastChannel" in window ? new BroadcastChannel("chatstream.theme") : null;

// theme: "light", "dark" or "system"
function show(theme) {
  if (theme in BACKGROUNDS) root.dataset.theme = theme;
  else delete root.dataset.theme;
  document.querySelector('meta[name="color-scheme"]').content =
    theme in BACKGROUNDS ? theme : "light dark";
  for (const meta of document.querySelectorAll('meta[name="theme-color"]')) {
    meta.content = BACKGROUNDS[theme] ?? BACKGROUNDS[meta.dataset.scheme];
  }
  for (const field of document.querySelectorAll("select[name=theme]")) field.value = theme;
}

async function choose(field) {
  const before = root.dataset.theme ?? SYSTEM;
  const theme = field.value;
  field.setCustomValidity("");
  show(theme);
  try {
    await post(field.form.action, { theme }, { Accept: "application/json" });
    tabs?.postMessage(theme);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    show(before);
    field.setCustomValidity(error.message);
    field.reportValidity();
  }
}

document.addEventListener("change", ({ target }) => {
  if (target.matches("select[name=theme]")) choose(target);
});
tabs?.addEventListener("message", ({ data }) => show(data));
