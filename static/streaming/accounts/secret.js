// The new API key: copied by a button, and not made again when the page is reloaded.

const field = document.getElementById("secret");
const copied = document.getElementById("copied");

history.replaceState(null, "", "/accounts/");
field.select();

document.getElementById("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(field.value);
    copied.textContent = gettext("Copied.");
  } catch {
    // Plain HTTP in a home network has no clipboard.
    field.select();
    copied.textContent = gettext("Press Ctrl+C to copy it.");
  }
});
