// Django's JavaScript catalog where the page loads it, and plain English where not.

export const gettext = globalThis.gettext ?? ((text) => text);

export const ngettext =
  globalThis.ngettext ?? ((one, many, count) => (count === 1 ? one : many));

// Fills `%(name)s` from an object.
export function interpolate(text, values) {
  return text.replace(/%\((\w+)\)s/g, (_, name) => String(values[name]));
}

export function number(value) {
  return value.toLocaleString(document.documentElement.lang || "en");
}
