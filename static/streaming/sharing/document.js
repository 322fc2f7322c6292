// The footnotes of a document; nothing else in it does anything.

import { toMark, toNote } from "../chat/footnotes.js";

document.addEventListener("click", ({ target }) => {
  const mark = target.closest(".footnote-mark");
  const back = target.closest(".footnote-back");
  if (mark) toNote(mark);
  else if (back) toMark(back);
});
