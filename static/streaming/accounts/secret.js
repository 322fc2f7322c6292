// The new API key and what it is used with: copied by buttons, and not made again when the page is
// reloaded.

import { copy } from "../shared/clipboard.js";

const copied = document.getElementById("copied");
const secret = document.getElementById("secret");

history.replaceState(null, "", "/accounts/");
secret.select();

// The address that works from here: a proxy may not have told the server that it speaks HTTPS.
const url = document.getElementById("base-url");
const { origin } = new URL(url.value);
for (const field of [url, document.getElementById("curl")]) {
  field.value = field.value.replaceAll(origin, location.origin);
}

document.querySelector(".secret").addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copies]");
  if (!button) return;
  const field = document.getElementById(button.dataset.copies);
  copied.textContent = ""; // so that it is heard each time
  const isCopied = await copy(field.value);
  if (!isCopied) field.select();
  copied.textContent = isCopied ? gettext("Copied.") : gettext("Press Ctrl+C to copy it.");
});
