// What a browser keeps, as JSON: for good, or as long as the tab. Where it is switched off or
// damaged nothing is kept, but within this page.

class Storage {
  #name;
  #here = new Map();

  constructor(name) {
    this.#name = name;
  }

  // Null for nothing.
  read(key) {
    try {
      return JSON.parse(window[this.#name].getItem(key));
    } catch {
      return this.#here.get(key) ?? null;
    }
  }

  write(key, value) {
    if (value === null) this.#here.delete(key);
    else this.#here.set(key, value);
    try {
      if (value === null) window[this.#name].removeItem(key);
      else window[this.#name].setItem(key, JSON.stringify(value));
    } catch {
      // Switched off, or full.
    }
  }
}

export const lastingly = new Storage("localStorage");
export const session = new Storage("sessionStorage");
