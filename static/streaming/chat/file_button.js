// The button by which files are attached, and pasting them. What is done with them is loaded when
// there are any.

import { session } from "./storage.js";

export class FileButton {
  onChange = () => {}; // called when files came, went or are ready
  #config;
  #attached = null; // an Attached, when it is loaded
  #loading = null;

  constructor({ files, owner }) {
    this.#config = files && { ...files, owner };
    if (!files) return;
    const picker = document.getElementById("attach-files");
    document.getElementById("attach").addEventListener("click", () => picker.click());
    picker.addEventListener("change", () => {
      this.add(picker.files);
      picker.value = "";
    });
    document.getElementById("prompt").addEventListener("paste", (event) => {
      const { files: pasted, types } = event.clipboardData;
      // What is copied from a text may have its picture beside it.
      if (!pasted.length || types.includes("text/plain")) return;
      event.preventDefault();
      this.add(pasted);
    });
    if (session.read(`chatstream.files.${owner}.${location.pathname}`)) this.#load();
  }

  get count() {
    return this.#attached?.count ?? 0;
  }

  // Why nothing can be sent now; empty if it can.
  get obstacle() {
    return this.#attached?.obstacle ?? "";
  }

  // False where files cannot be attached. A list of files is empty after its event.
  add(files) {
    if (!this.#config) return false;
    const given = [...files];
    this.#load().then((attached) => attached.add(given));
    return true;
  }

  // Gives away what goes along: its `parts`, and the `element` that shows it. Null for nothing.
  take() {
    return this.#attached?.take() ?? null;
  }

  // Takes back the parts that were given away.
  give(parts) {
    this.#attached?.give(parts);
  }

  #load() {
    this.#loading ??= this.#begin();
    return this.#loading;
  }

  async #begin() {
    const { owner } = this.#config;
    const [{ Attached }] = await Promise.all([import("../files/attached.js"), linkStyles()]);
    this.#attached = new Attached(this.#config, owner, () => this.onChange());
    this.onChange();
    return this.#attached;
  }
}

function linkStyles() {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = document.getElementById("attached").dataset.styles;
  document.head.append(link);
  return new Promise((resolve) => (link.onload = link.onerror = resolve));
}
