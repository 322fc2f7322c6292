// From a footnote's mark to the note and back, within one answer.

export function toNote(mark) {
  go(mark, ".footnote-back");
}

export function toMark(back) {
  go(back, ".footnote-mark");
}

function go(from, selector) {
  const label = CSS.escape(from.dataset.note);
  const target = from.closest(".text").querySelector(`${selector}[data-note="${label}"]`);
  target?.scrollIntoView({ block: "center" });
  target?.focus({ preventScroll: true });
}
