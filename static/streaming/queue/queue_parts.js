// The parts of the page that change: texts and attributes as the server has made them, put in their
// places. Nothing here knows what they mean (`streaming/live_queue/parts.py` does).

import { tick } from "./queue_clock.js";

// values: { text, attribute: value, ... }; of attributes true is one without a value, false and
// null one that is not there.
export function put(element, values) {
  for (const [name, value] of Object.entries(values)) {
    if (name === "text") continue;
    if (name === "value" && element instanceof HTMLInputElement) putValue(element, value);
    else if (value === false || value === null) element.removeAttribute(name);
    else setAttribute(element, name, value === true ? "" : value);
  }
  if (values["data-clock"]) tick(element);
  else if ("text" in values) setText(element, values.text);
}

// What somebody types stays until it is what counts.
function putValue(field, value) {
  const isTyped = document.activeElement === field || field.value !== field.defaultValue;
  if (!isTyped) field.value = value;
  field.defaultValue = value;
}

export function setText(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

// Of two buttons one has taken the other's place, and takes its focus. Who types in a field would
// press what they did not mean.
export function handOn(focused) {
  const pair = focused?.closest(".cs-pair");
  if (!pair || !focused.closest("[hidden]")) return;
  const shown = [...pair.querySelectorAll("button, input")].find((one) => !one.closest("[hidden]"));
  shown?.focus();
}
