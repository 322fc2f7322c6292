// The bar above a code block: its language, and a button that copies it.

import { gettext } from "./i18n.js";
import { copyCodeText, copyText } from "./words.js";

export function addCodeBars(block) {
  for (const code of block.querySelectorAll(".code")) {
    if (!code.querySelector(":scope > .code-bar")) code.prepend(bar(code.dataset.language));
  }
}

function bar(language) {
  const element = document.createElement("div");
  element.className = "code-bar";
  const name = document.createElement("span");
  name.textContent = language || gettext("code");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy-code";
  button.setAttribute("aria-label", copyCodeText());
  button.textContent = copyText();
  element.append(name, button);
  return element;
}

// The code that a button of a bar belongs to.
export function codeOf(button) {
  return button.closest(".code").querySelector("code").textContent;
}
