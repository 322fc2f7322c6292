// A document that was opened to be printed: at once, and again by its button.

document.getElementById("print").addEventListener("click", () => print());
addEventListener("load", () => print());

// On paper nobody can open what is folded.
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll(".answer .text details")) folded.open = true;
});
