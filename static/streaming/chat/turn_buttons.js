// Which buttons a turn has: for its prompt, and for what there is of its answer.

const WRITTEN = ["completed", "incomplete"]; // by the model, to its end

export const CUT = ["incomplete", "cancelled", "failed"];

export function showButtons(answer) {
  const { view, status, isBlank: hasNothing } = answer;
  view.showVersions(answer.id);
  const isRead = !answer.isOpen && !hasNothing; // there is an answer to do something with
  view.answer.toggleAttribute("data-open", answer.isOpen);
  view.toggle(".retry", !answer.isOpen && hasNothing);
  view.toggle(".rewrite", WRITTEN.includes(status) && hasNothing);
  for (const selector of [".like", ".dislike", ".regenerate"]) view.toggle(selector, isRead);
  view.toggle(".copy-answer", isRead && answer.content.copied !== "");
  const hasBegun = answer.text.source !== "" || answer.thought.source !== "";
  const hasMore = CUT.includes(status) && hasBegun && answer.isLast;
  view.toggle(".continue", hasMore);
  view.toggle(".answer-actions", isRead || hasMore || view.find(".answer-actions .versions"));
  view.toggle(".edit", answer.mayEdit);
}
