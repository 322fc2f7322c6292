// The answers' sampling settings, kept in this browser, and the instructions of a conversation that
// has not begun. The drawer that shows them is fetched when it is first opened.

import { get } from "../shared/request.js";
import { lastingly, session } from "./storage.js";

const KEY = "chatstream.settings";

// What a value may be. `least` and `most` of a number are inclusive; `step` is for its arrows.
const RULES = {
  reasoning_effort: { choices: ["none", "low", "medium", "high"] },
  temperature: { least: 0, most: 2, step: 0.05 },
  max_tokens: { least: 1, most: Number.MAX_SAFE_INTEGER, step: 1, whole: true },
  top_p: { least: 0.01, most: 1, step: 0.01 },
  top_k: { least: 0, most: 1000, step: 1, whole: true },
  repetition_penalty: { least: 0.5, most: 2, step: 0.05 },
  seed: { least: 0, most: Number.MAX_SAFE_INTEGER, step: 1, whole: true },
  stop: { lines: 4, characters: 100 },
};

export class Settings {
  thinks; // whether the model may think; undefined until it is known
  sampling = {}; // what the model takes for a field that is empty
  onChange = () => {}; // the drawer's, when any of the above has changed
  #config;
  #conversation;
  #notice;
  #open = document.getElementById("tune");
  #values; // those that are valid, by name
  #instructed;
  #drawer;

  // config: the page's; conversation(): the id of the one on the page, null before it has begun
  constructor({ config, conversation, notice }) {
    this.#config = config;
    this.#conversation = conversation;
    this.#notice = notice;
    this.#instructed = config.instructed;
    this.#values = validOf(lastingly.read(KEY));
    this.#open.addEventListener("click", () => this.#show());
    for (const sign of ["pointerenter", "focus"]) {
      this.#open.addEventListener(sign, () => this.#fetched().catch(() => {}), { once: true });
    }
    this.#mark();
  }

  // The `params` of `response.create`: what differs from the server's defaults.
  get params() {
    const { reasoning_effort: effort, ...params } = validOf(this.#values);
    return effort && this.mayThink ? { ...params, reasoning_effort: effort } : params;
  }

  // Whether how much it thinks can be chosen; what was chosen is shown until the model is known.
  get mayThink() {
    return this.thinks ?? Boolean(this.#values.reasoning_effort);
  }

  value(name) {
    return this.#values[name];
  }

  rule(name) {
    return RULES[name];
  }

  // Keeps a value (undefined: none) and returns true, if it is a valid one; else what was is gone.
  keep(name, value) {
    const isValid = value === undefined || fits(RULES[name], value);
    if (isValid && value !== undefined) this.#values[name] = value;
    else delete this.#values[name];
    lastingly.write(KEY, Object.keys(this.#values).length ? this.#values : null);
    this.#mark();
    return isValid;
  }

  // The model has been greeted.
  learn({ thinks = false, sampling = {} }) {
    this.thinks = thinks;
    this.sampling = sampling;
    this.#changed();
  }

  // It has thought, which of a server elsewhere nobody knew at the greeting.
  hasThought() {
    if (this.thinks) return;
    this.thinks = true;
    this.#changed();
  }

  set maxTokens(most) {
    RULES.max_tokens.most = most;
    this.#changed();
  }

  // --- instructions ---

  get conversationId() {
    return this.#conversation();
  }

  get loginUrl() {
    return this.#config.login_url;
  }

  // Of the conversation that has not begun: null for none of its own, as `response.create` has it.
  get opening() {
    return session.read(this.#openingKey);
  }

  set opening(text) {
    session.write(this.#openingKey, text);
    this.#mark();
  }

  // What the first prompt of a conversation says of them.
  get openingFields() {
    const { opening } = this;
    return opening === null ? {} : { instructions: opening };
  }

  // The conversation on the page has instructions of its own from now on, or none any more.
  set instructed(isSo) {
    this.#instructed = isSo;
    this.#mark();
  }

  // The server has the first prompt, and its instructions with it.
  begun() {
    const { opening } = this;
    session.write(this.#openingKey, null);
    this.instructed = Boolean(opening?.trim());
  }

  get #openingKey() {
    return `chatstream.instructions.${this.#config.owner}`;
  }

  // --- the drawer ---

  async #show() {
    try {
      (await this.#fetched()).show();
    } catch (error) {
      this.#notice.show(error.message);
    }
  }

  #fetched() {
    this.#drawer ??= Promise.all([get("/drawer/"), import("./drawer.js")])
      .then(([html, { Drawer }]) => Drawer.create(html, this, this.#open))
      .catch((error) => {
        this.#drawer = undefined; // the next click tries again
        throw error;
      });
    return this.#drawer;
  }

  #changed() {
    this.#mark();
    this.onChange();
  }

  #mark() {
    const isInstructed = this.conversationId ? this.#instructed : this.opening?.trim();
    const isTuned = Object.keys(this.params).length > 0 || isInstructed;
    this.#open.classList.toggle("tuned", Boolean(isTuned));
  }
}

function validOf(kept) {
  const isKept = ([name, value]) => name in RULES && fits(RULES[name], value);
  return Object.fromEntries(Object.entries(Object(kept)).filter(isKept));
}

function fits(rule, value) {
  if (rule.choices) return rule.choices.includes(value);
  if (rule.lines) {
    return (
      Array.isArray(value) &&
      value.length > 0 &&
      value.length <= rule.lines &&
      value.every((line) => typeof line === "string" && [...line].length <= rule.characters)
    );
  }
  if (!Number.isFinite(value) || (rule.whole && !Number.isSafeInteger(value))) return false;
  return value >= rule.least && value <= rule.most;
}
