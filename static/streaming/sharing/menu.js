// Opens what can be done with the conversation that is shown. What the dialog needs is loaded with
// the first click; until then, and where that fails, the button is a link to a page.

const button = document.getElementById("share");

button.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  // A new conversation has its address since its first prompt was accepted.
  const conversation = /^.*\/c\/[0-9a-f-]{36}\//.exec(location.pathname)?.[0];
  if (!conversation) return;
  const answers = document.querySelectorAll(".answer[data-response-id]");
  const leaf = [...answers].at(-1)?.dataset.responseId ?? "";
  open(`${conversation}share/`, leaf);
});

// From the menu of a row of the side list.
document.addEventListener("conversation-action", ({ detail: { id, action } }) => {
  if (action === "share") open(button.dataset.any.replace("00000000-0000-0000-0000-000000000000", id));
});

async function open(address, leaf = "") {
  try {
    const { openSharing } = await import("./dialog.js");
    await openSharing(address, leaf, button.dataset.style);
  } catch {
    location.assign(`${address}?${new URLSearchParams({ leaf })}`);
  }
}
