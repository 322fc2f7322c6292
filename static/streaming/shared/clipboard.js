// Copying text, also on plain HTTP, where browsers keep their clipboard API to themselves.

// Resolves to whether it was copied. `html` is the same for what takes rich text.
export async function copy(text, html = "") {
  if (navigator.clipboard) {
    try {
      await write(text, html);
      return true;
    } catch {
      // Not allowed: try the old way.
    }
  }
  return copyBySelection(text, html);
}

async function write(text, html) {
  if (!html || !navigator.clipboard.write || typeof ClipboardItem === "undefined") {
    await navigator.clipboard.writeText(text);
    return;
  }
  const blob = (type, data) => new Blob([data], { type });
  const item = new ClipboardItem({
    "text/plain": blob("text/plain", text),
    "text/html": blob("text/html", html),
  });
  await navigator.clipboard.write([item]);
}

function copyBySelection(text, html) {
  const focused = document.activeElement;
  const box = document.createElement("textarea");
  box.value = text;
  box.className = "unseen";
  box.setAttribute("aria-hidden", "true");
  (document.querySelector("dialog[open]") ?? document.body).append(box);
  box.select();
  const put = (event) => {
    event.clipboardData.setData("text/plain", text);
    if (html) event.clipboardData.setData("text/html", html);
    event.preventDefault();
  };
  box.addEventListener("copy", put);
  let done = false;
  try {
    done = document.execCommand("copy");
  } catch {
    // The same as `false`.
  }
  box.remove();
  focused?.focus({ preventScroll: true });
  return done;
}
