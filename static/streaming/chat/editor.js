// A prompt being changed, in the place of its bubble.

import { excess, fit } from "./composer.js";
import { isEscape, isSendKey, nameEnterKey } from "../shared/keys.js";
import { wellFormed } from "../shared/text.js";
import { excessText } from "../shared/words.js";

// `onSave(text)` is called with what should replace the prompt; `saveText` is on its button.
// `text`, if given, is what stands in the editor at first.
export function edit(view, { limit, saveText, text = view.prompt, onSave }) {
  const open = view.find(".editor");
  if (open) {
    open.querySelector("textarea").focus();
    return;
  }
  const template = document.getElementById("editor").content.firstElementChild;
  const form = template.cloneNode(true);
  const box = form.querySelector("textarea");
  const save = form.querySelector(".editor-save");
  const hint = form.querySelector(".editor-hint");
  box.setAttribute("aria-label", form.querySelector("label").textContent);
  save.textContent = saveText;
  box.value = text;
  nameEnterKey(box);

  const check = () => {
    const over = excess(box.value, limit());
    save.disabled = over > 0 || box.value.trim() === "";
    hint.textContent = over > 0 ? excessText(over) : "";
    box.setAttribute("aria-invalid", String(over > 0));
    fit(box);
  };
  const close = () => {
    form.remove();
    view.element.classList.remove("editing");
    view.find(".edit").focus();
  };
  box.addEventListener("input", check);
  form.addEventListener("keydown", (event) => {
    if (isEscape(event)) {
      event.preventDefault();
      close();
    } else if (event.target === box && isSendKey(event)) {
      event.preventDefault();
      if (!save.disabled) form.requestSubmit();
    }
  });
  form.querySelector(".editor-cancel").addEventListener("click", close);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    close();
    onSave(wellFormed(box.value));
  });

  view.find(".bubble").after(form);
  view.element.classList.add("editing");
  check();
  box.focus();
  box.setSelectionRange(box.value.length, box.value.length);
}
