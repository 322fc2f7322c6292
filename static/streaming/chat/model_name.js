// The model's name, in the header and on the empty page. The one in the header opens its card.

export class ModelName {
  #name = document.getElementById("model");
  #card = document.getElementById("model-card");
  #welcome = document.getElementById("welcome-model");
  #greeting = null;

  constructor() {
    this.#card.addEventListener("beforetoggle", ({ newState }) => {
      if (newState === "open") this.#fill();
    });
  }

  get isKnown() {
    return this.#greeting !== null;
  }

  // greeting: a `chatstream:session` that knows the model
  show(greeting) {
    this.#greeting = greeting;
    for (const place of [this.#name, this.#welcome]) {
      place.textContent = greeting.model;
      place.hidden = false;
    }
  }

  async #fill() {
    const { fill, placeBelow } = await import("./model_card.js");
    fill(this.#greeting);
    placeBelow(this.#name);
  }
}
