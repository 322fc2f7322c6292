// The files that go with the next prompt: uploaded one after the other, shown as chips, and kept over
// a reload of the page.

import { session } from "../chat/storage.js";
import { reply, cookie } from "../shared/request.js";
import { Chip, shownFiles } from "./chip.js";
import { upload } from "./upload.js";
import * as words from "./words.js";

const OFF_BY = 2; // times that the number of tokens may be wrong, as the server has it
const known = new Map(); // files of this page, by the id that a part has

export class Attached {
  #config;
  #owner;
  #onChange;
  #entries = []; // { file, chip, said, stop }
  #box = document.getElementById("attached");
  #list = document.createElement("ul");
  #note = document.createElement("p");
  #runs = false;
  #key = "";

  // config: { url, most, most_bytes, most_mb }; onChange() when files came, went or are ready
  constructor(config, owner, onChange) {
    this.#config = config;
    this.#owner = owner;
    this.#onChange = onChange;
    this.#list.className = "chips";
    this.#list.setAttribute("aria-label", words.listText());
    this.#note.className = "attached-note";
    this.#note.setAttribute("role", "status");
    this.#box.append(this.#list, this.#note);
    this.#restore();
  }

  // Files that go along.
  get count() {
    return this.#entries.filter(({ said }) => said).length;
  }

  // Why nothing can be sent now; empty if it can.
  get obstacle() {
    if (this.#entries.some(({ stop }) => stop)) return words.busyText();
    return this.#tokens > OFF_BY * this.#context ? this.#overText : "";
  }

  add(files) {
    for (const file of files) {
      const entry = this.#enter(file.name || words.listText(), file);
      const fault = this.#fault(file);
      if (fault) this.#refuse(entry, fault, false);
      else this.#wait(entry);
    }
    this.#changed();
    this.#run();
  }

  // Gives away what goes along: its parts, and what is shown of it. Null for nothing.
  take() {
    const files = this.#entries.map(({ said }) => said).filter(Boolean);
    this.#entries = [];
    this.#list.replaceChildren();
    this.#changed();
    if (!files.length) return null;
    const parts = files.map(partOf);
    return { parts, element: shownFiles(files, words.listText()) };
  }

  // Takes back what was given away.
  give(parts) {
    for (const { file_id: id } of parts) if (known.has(id)) this.#put(known.get(id));
    this.#changed();
  }

  // --- one file ---

  #enter(name, file) {
    const entry = { file, name, said: null, stop: null };
    entry.chip = new Chip(name, {
      onRemove: () => this.#remove(entry),
      onRetry: () => {
        this.#wait(entry);
        this.#changed();
        this.#run();
      },
    });
    this.#entries.push(entry);
    this.#list.append(entry.chip.element);
    return entry;
  }

  #put(said) {
    known.set(said.file_id, said);
    const entry = this.#enter(said.name, null);
    entry.said = said;
    entry.chip.show(said);
  }

  #fault(file) {
    const { most, most_bytes: mostBytes, most_mb: mostMb } = this.#config;
    const others = this.#entries.filter(({ said, stop }) => said || stop).length;
    if (others >= most) return words.tooManyText(most);
    if (file.size > mostBytes) return words.tooLargeText(mostMb);
    return file.size ? "" : words.emptyText();
  }

  #wait(entry) {
    entry.stop = new AbortController();
    entry.chip.waits();
  }

  #refuse(entry, message, canRetry) {
    entry.stop = null;
    entry.chip.refuse(message, canRetry);
    tell(words.refusedText(entry.name, message));
  }

  #remove(entry) {
    const at = this.#entries.indexOf(entry);
    entry.stop?.abort();
    if (entry.said) forget(entry.said);
    this.#entries.splice(at, 1);
    entry.chip.element.remove();
    const next = this.#entries[at] ?? this.#entries[at - 1];
    (next?.chip.removeButton ?? document.getElementById("prompt")).focus();
    tell(words.removedText(entry.name));
    this.#changed();
  }

  // --- all of them ---

  async #run() {
    if (this.#runs) return;
    this.#runs = true;
    let entry;
    while ((entry = this.#entries.find(({ stop, said }) => stop && !said))) {
      await this.#upload(entry);
      this.#changed();
    }
    this.#runs = false;
  }

  async #upload(entry) {
    const { url } = this.#config;
    const { signal } = entry.stop;
    const onShare = (share) => entry.chip.uploads(share);
    onShare(0);
    try {
      const said = await upload(entry.file, { url, owner: this.#owner, signal, onShare });
      if (signal.aborted) return forget(said);
      Object.assign(entry, { said, stop: null });
      known.set(said.file_id, said);
      entry.chip.show(said);
      tell(words.attachedText(said.name));
    } catch (error) {
      if (error.name !== "AbortError") this.#refuse(entry, error.message, error.canRetry);
    }
  }

  get #tokens() {
    return this.#entries.reduce((sum, { said }) => sum + (said?.tokens ?? 0), 0);
  }

  get #context() {
    const contexts = this.#entries.map(({ said }) => said?.context_tokens ?? 0).filter(Boolean);
    return contexts.length ? Math.min(...contexts) : Infinity;
  }

  get #overText() {
    return words.overContextText(this.#tokens, this.#context);
  }

  #changed() {
    const text = this.#tokens > this.#context ? this.#overText : "";
    if (this.#note.textContent !== text) this.#note.textContent = text;
    this.#box.hidden = !this.#entries.length;
    this.#keep();
    this.#onChange();
  }

  // --- over a reload ---

  #keep() {
    const files = this.#entries.map(({ said }) => said).filter(Boolean);
    const key = keyOf(this.#owner);
    if (this.#key && this.#key !== key) session.write(this.#key, null); // the chat has got its id
    this.#key = key;
    session.write(key, files.length ? files : null);
  }

  #restore() {
    for (const said of session.read(keyOf(this.#owner)) ?? []) this.#put(said);
    this.#changed();
  }
}

function keyOf(owner) {
  return `chatstream.files.${owner}.${location.pathname}`;
}

function partOf({ file_id, kind }) {
  return { type: kind === "image" ? "input_image" : "input_file", file_id };
}

// What is not sent need not be kept; if the server is not reached, it goes after a day.
function forget({ url }) {
  const headers = { "X-CSRFToken": cookie("csrftoken") };
  reply(`${url}remove/`, { method: "POST", headers, keepalive: true }).catch(() => {});
}

function tell(text) {
  document.getElementById("status").textContent = text;
}
