// What is said about attached files.

import { gettext, interpolate, ngettext, number } from "../shared/i18n.js";

const KINDS = {
  image: () => gettext("Image"),
  text: () => gettext("Text"),
  markdown: () => "Markdown",
  code: () => gettext("Code"),
  csv: () => gettext("Table"),
  json: () => "JSON",
  pdf: () => "PDF",
  docx: () => "Word",
};

// file: { kind, size, tokens }
export function aboutText({ kind, size, tokens }) {
  const parts = [KINDS[kind]?.(), sizeText(size), tokens ? tokensText(tokens) : ""];
  return parts.filter(Boolean).join(" · ");
}

export function tokensText(count) {
  const text = ngettext("about %(count)s token", "about %(count)s tokens", count);
  return interpolate(text, { count: number(count) });
}

export function sizeText(bytes) {
  if (bytes >= 2 ** 20) return `${number(Math.round(bytes / 2 ** 19) / 2)} MB`;
  return `${number(Math.ceil(bytes / 1024))} kB`;
}

export const listText = () => gettext("Attachments");
export const waitsText = () => gettext("Waiting to be uploaded");
export const readText = () => gettext("Being read…");
export const removeText = (name) => interpolate(gettext("Remove %(name)s"), { name });
export const retryText = () => gettext("Try again");
export const attachedText = (name) => interpolate(gettext("%(name)s is attached."), { name });
export const removedText = (name) => interpolate(gettext("%(name)s is removed."), { name });
export const refusedText = (name, why) => `${name}: ${why}`;
export const unreachableText = () => gettext("The server cannot be reached. Try again in a moment.");
export const failedText = () => gettext("Something went wrong on the server. Try again.");
export const emptyText = () => gettext("The file is empty.");
export const busyText = () => gettext("Wait until all files are uploaded.");

export function uploadText(share) {
  return interpolate(gettext("Uploading, %(percent)s%%"), { percent: number(Math.round(share * 100)) });
}

export function tooManyText(most) {
  const text = ngettext(
    "A message can have %(most)s file at most.",
    "A message can have %(most)s files at most.",
    most,
  );
  return interpolate(text, { most: number(most) });
}

export function tooLargeText(most) {
  return interpolate(gettext("The file is larger than %(most)s MB."), { most: number(most) });
}

export function overContextText(count, most) {
  const text = gettext(
    "The files have about %(count)s tokens; this model reads %(most)s at once. Remove some, or send less text.",
  );
  return interpolate(text, { count: number(count), most: number(most) });
}
