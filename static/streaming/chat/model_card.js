// What is known of the model, in a popover below its name. Facts that nobody knows are left out.

import { gettext, interpolate, ngettext, number } from "../shared/i18n.js";

const card = document.getElementById("model-card");

const MARGIN = 8; // px between the name and the card, and beside it

// Below an element, and within the window.
export function placeBelow(element) {
  const { left, bottom } = element.getBoundingClientRect();
  const most = innerWidth - card.offsetWidth - MARGIN;
  card.style.top = `${bottom + MARGIN}px`;
  card.style.left = `${Math.max(MARGIN, Math.min(left, most))}px`;
}

// greeting: a `chatstream:session`
export function fill({ model, limits, sampling, thinks, card: more }) {
  card.querySelector("h2").textContent = model;
  show("parameters", more?.parameters && amount(more.parameters));
  show("dtype", more?.dtype);
  show("context", limits.context_tokens && tokens(limits.context_tokens));
  show("max_tokens", tokens(limits.max_tokens));
  show("thinks", thinks && gettext("It may think before it answers."));
  show("takes_system", instructions(more?.takes_system));
  const values = Object.entries(sampling ?? {}).map(([name, value]) => `${name} ${value}`);
  show("sampling", values.join("\n"));
}

function show(fact, text) {
  const place = card.querySelector(`[data-fact=${fact}]`);
  place.textContent = text || "";
  place.parentElement.hidden = !text;
}

function instructions(takesSystem) {
  if (takesSystem === true) return gettext("It takes them as a system message.");
  if (takesSystem === false) return gettext("They are put before the first prompt.");
  return "";
}

function tokens(count) {
  const text = ngettext("%(count)s token", "%(count)s tokens", count);
  return interpolate(text, { count: number(count) });
}

function amount(count) {
  const options = { notation: "compact", maximumSignificantDigits: 3 };
  return new Intl.NumberFormat(document.documentElement.lang, options).format(count);
}
