// The sentences of the drawer, which comes later than the page.

import { gettext, interpolate, number } from "../shared/i18n.js";

export { rangeText, stopRangeText } from "../shared/words.js";

export const defaultText = (value) => interpolate(gettext("Default: %(value)s"), { value });

export const savedText = () => gettext("Saved.");

export const withFirstText = () => gettext("They go with your first prompt.");

export const notSavedText = (why) => interpolate(gettext("Not saved: %(why)s"), { why });

export function tooLongText(length, limit) {
  const text = gettext("%(length)s characters; at most %(limit)s are allowed.");
  return interpolate(text, { length: number(length), limit: number(limit) });
}

export const countText = (length, limit) => `${number(length)} / ${number(limit)}`;
