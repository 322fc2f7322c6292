// A browser opens what is dropped on a page in the place of the page, with all that was written
// there. Text may be dropped where text is written, anything else nowhere.

// onFiles: called with those that somebody drops
export function guardDrops(onFiles) {
  const composer = document.getElementById("composer");
  window.addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) composer.toggleAttribute("data-drop", false); // out of the window
  });
  for (const type of ["dragover", "drop"]) {
    window.addEventListener(type, (event) => {
      const isFile = event.dataTransfer?.types.includes("Files");
      if (!isFile && event.target.closest?.("textarea, input")) return;
      event.preventDefault();
      // A drop that is not offered is never told of.
      if (type === "dragover" && !isFile) event.dataTransfer.dropEffect = "none";
      composer.toggleAttribute("data-drop", isFile && type === "dragover");
      if (type === "drop" && isFile) onFiles(event.dataTransfer.files);
    });
  }
}
