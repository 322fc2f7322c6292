// The button on a code block that copies it.

import { copyCodeText, copyText } from "../shared/words.js";

export function addCodeButtons(block) {
  for (const code of block.querySelectorAll(".code")) {
    if (code.querySelector(":scope > button")) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy-code";
    button.setAttribute("aria-label", copyCodeText());
    button.textContent = copyText();
    code.append(button);
  }
}

// The code that a button belongs to.
export function codeOf(button) {
  return button.closest(".code").querySelector("code").textContent;
}
