// One attached file in the message box: what it is, how far its upload is, or why it is not taken.

import { aboutText, readText, removeText, retryText, uploadText, waitsText } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

export class Chip {
  element = document.createElement("li");
  #about = make("span", "chip-about");
  #progress = make("progress", "chip-progress");
  #retry = make("button", "quiet chip-retry");
  #mark = make("span", "chip-mark");

  // handlers: onRemove(), onRetry()
  constructor(name, { onRemove, onRetry }) {
    const text = make("span", "chip-text");
    const label = make("span", "chip-name");
    label.textContent = label.title = name;
    label.dir = "auto";
    const remove = make("button", "icon chip-remove");
    remove.type = this.#retry.type = "button";
    remove.title = removeText(name);
    remove.setAttribute("aria-label", removeText(name));
    remove.append(sign("i-close"));
    remove.addEventListener("click", onRemove);
    this.#retry.textContent = retryText();
    this.#retry.addEventListener("click", onRetry);
    this.#mark.append(sign("i-clip"));
    this.#progress.setAttribute("aria-label", name);
    this.#progress.max = 1;
    text.append(label, this.#about, this.#progress);
    this.element.className = "chip";
    this.element.append(this.#mark, text, this.#retry, remove);
    this.waits();
  }

  get removeButton() {
    return this.element.querySelector(".chip-remove");
  }

  waits() {
    this.#be("waiting", waitsText());
  }

  // share: 0 to 1 of its bytes; then it is read
  uploads(share) {
    this.#be("uploading", share < 1 ? uploadText(share) : readText());
    if (share < 1) this.#progress.value = share;
    else this.#progress.removeAttribute("value");
  }

  refuse(message, canRetry) {
    this.#be("refused", message);
    this.#retry.hidden = !canRetry;
  }

  // file: as the server describes it
  show(file) {
    this.#be("ready", aboutText(file));
    if (file.kind === "image") this.#mark.replaceChildren(picture(file));
  }

  #be(state, about) {
    this.element.dataset.state = state;
    this.#about.textContent = about;
    this.#progress.hidden = state !== "uploading";
    this.#retry.hidden = true;
  }
}

// What is shown of files in a turn, as templates/streaming/files/attachments.html has it.
export function shownFiles(files, label) {
  const list = make("ul", "attachments");
  list.setAttribute("aria-label", label);
  for (const file of files) {
    const item = document.createElement("li");
    const link = make("a", "chip");
    const text = make("span", "chip-text");
    const name = make("span", "chip-name");
    const about = make("span", "chip-about");
    const mark = make("span", "chip-mark");
    mark.append(file.kind === "image" ? picture(file) : sign("i-clip"));
    name.textContent = file.name;
    name.dir = "auto";
    about.textContent = aboutText(file);
    link.href = file.url;
    link.download = file.name;
    text.append(name, about);
    link.append(mark, text);
    item.append(link);
    list.append(item);
  }
  return list;
}

function picture({ url }) {
  const image = make("img", "chip-image");
  image.src = `${url}?view`;
  image.alt = "";
  return image;
}

function sign(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#${name}`);
  svg.append(use);
  return svg;
}

function make(tag, className) {
  const element = document.createElement(tag);
  element.className = className;
  return element;
}
