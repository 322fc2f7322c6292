// The empty page: what it offers to ask is asked by a click. What is in the message box stays there.

export class Welcome {
  #section = document.getElementById("welcome");

  // onStart(text): of the starter that was chosen
  constructor(onStart) {
    this.#section.addEventListener("click", ({ target }) => {
      const starter = target.closest(".starter");
      if (starter) onStart(starter.textContent.trim());
    });
  }

  set isShown(isShown) {
    this.#section.hidden = !isShown;
  }
}
