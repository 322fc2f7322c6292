// What a key press means, the same in every box.

// The input method has it for itself: it ends a word, or gives it up. Some browsers say so by the
// key code alone.
export const isOfInputMethod = (event) => event.isComposing || event.keyCode === 229;

export const isEscape = (event) => event.key === "Escape" && !isOfInputMethod(event);

// Nobody has a Shift+Enter under their thumb: there Enter makes a new line, and the button sends.
const thumbs = matchMedia("(pointer: coarse)");

export function isSendKey(event) {
  if (event.key !== "Enter" || event.shiftKey || isOfInputMethod(event)) return false;
  return !thumbs.matches || event.ctrlKey || event.metaKey;
}

// Says on the keyboard of a phone what its Enter does.
export function nameEnterKey(box) {
  box.enterKeyHint = thumbs.matches ? "enter" : "send";
}
