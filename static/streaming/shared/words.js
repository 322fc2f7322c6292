// What the page says to people, about stored turns and about those that it sees happen.

import { faultText } from "./error_words.js";
import { gettext, interpolate, ngettext, number } from "./i18n.js";

// --- the answer ---

export function trimmedNote(count) {
  if (!count) return "";
  const text = ngettext(
    "The oldest message no longer fit and was left out.",
    "The oldest %(count)s messages no longer fit and were left out.",
    count,
  );
  return interpolate(text, { count: number(count) });
}

// fields: how it ended, and whether it `began` at all; isBlank: there is nothing to read;
// hasThought: but a thought
export function doneText(
  { status, usage, timings, error, began },
  isBlank = false,
  hasThought = false,
) {
  if (status === "cancelled" && !began && !usage.output_tokens) {
    return gettext("Withdrawn before it started");
  }
  const parts = [];
  if (status === "cancelled") parts.push(gettext("Stopped"));
  if (status === "incomplete") parts.push(gettext("Cut at the token limit"));
  if (isBlank && (status === "completed" || status === "incomplete")) {
    parts.push(
      hasThought ? gettext("The model wrote no answer") : gettext("The model wrote nothing"),
    );
  }
  if (status === "failed") {
    parts.push(faultText(error));
  }
  const tokens = usage.output_tokens;
  if (tokens) {
    const text = ngettext("%(count)s token", "%(count)s tokens", tokens);
    parts.push(interpolate(text, { count: number(tokens) }));
    const seconds = number(Math.round(timings.total_ms / 100) / 10);
    parts.push(interpolate(gettext("%(seconds)s s"), { seconds }));
  }
  return parts.join(" · ");
}

// --- the thought ---

export const thinkingText = () => gettext("Thinking…");

export function thoughtText(ms) {
  if (ms < 1_000) return gettext("Thought for a moment");
  return interpolate(gettext("Thought for %(time)s"), { time: durationText(ms) });
}

export function stoppedThoughtText(ms) {
  const parts = [gettext("Stopped while thinking")];
  if (ms >= 1_000) parts.push(durationText(ms));
  return parts.join(" · ");
}

// In whole seconds that are over, as a clock counts them.
export function durationText(ms) {
  const seconds = Math.floor(ms / 1_000);
  if (seconds < 60) return interpolate(gettext("%(seconds)s s"), { seconds });
  const minutes = number(Math.floor(seconds / 60));
  if (seconds % 60 === 0) return interpolate(gettext("%(minutes)s min"), { minutes });
  const text = gettext("%(minutes)s min %(seconds)s s");
  return interpolate(text, { minutes, seconds: seconds % 60 });
}

export const interruptedText = () => gettext("Interrupted: the connection was lost");

// For those who hear the page.
export const beginsAnnouncement = () => gettext("The answer begins.");

export const thinkingAnnouncement = () => gettext("The model is thinking.");

export function doneAnnouncement(status, isBlank = false, hasThought = false) {
  const nothing = () =>
    hasThought ? gettext("The model wrote no answer.") : gettext("The model wrote nothing.");
  return {
    completed: () => (isBlank ? nothing() : gettext("The answer is complete.")),
    incomplete: () => gettext("The answer was cut at the token limit."),
    cancelled: () => gettext("The answer was stopped."),
    failed: () => gettext("The answer failed."),
  }[status]();
}

export const copied = () => gettext("Copied");

export const notCopied = () => gettext("The browser does not allow copying here.");

export function versionText(number_, count) {
  return interpolate(gettext("Version %(number)s of %(count)s"), { number: number_, count });
}

export const rated = (rating) =>
  rating ? gettext("Thank you, your rating is kept.") : gettext("Your rating was taken back.");

// --- the connection ---

export function connectionText(state) {
  return {
    connecting: () => gettext("Connecting"),
    open: () => gettext("Connected"),
    lost: () => gettext("Reconnecting"),
    refused: () => gettext("Signed out"),
  }[state]();
}

// What stands above the box while the connection is lost; codes are those of the close.
export function lostText(code) {
  if (code === 4429) {
    return gettext("Too many of your windows are open here. Close one; this one tries again.");
  }
  if (code === 4409) return gettext("You are signed in or out since. Connecting again…");
  if (code === 4503) return gettext("The service is not available. Trying again…");
  return gettext("Connection lost. Reconnecting…");
}

export const backText = () => gettext("Connected again.");

export const signedOutText = () => gettext("You have been signed out.");

export const signInText = () => gettext("Sign in");

export const newChatText = () => gettext("New chat");

export const notLoadedText = () =>
  gettext("That could not be loaded. Check the connection and try again.");

export const notRatedText = () => gettext("The rating could not be kept. Try again.");

export const newMessagesText = () => gettext("Newer messages were loaded.");

export const unsentText = () => gettext("Wait until your prompt has been sent.");

// --- writing ---

export const noFilesText = () => gettext("Files cannot be attached here.");

export const showAllText = () => gettext("Show all");

export const showLessText = () => gettext("Show less");

export function excessText(count) {
  const text = ngettext("%(count)s character too many", "%(count)s characters too many", count);
  return interpolate(text, { count: number(count) });
}

export function roomText(count) {
  return interpolate(gettext("%(count)s left"), { count: number(count) });
}

export const saveText = () => gettext("Save");

export const saveAndSendText = () => gettext("Save and send");

export const updatedText = () => gettext("Your prompt was changed.");

// --- settings ---

export function rangeText(min, max, isWhole) {
  const text = isWhole
    ? gettext("A whole number from %(min)s to %(max)s.")
    : gettext("From %(min)s to %(max)s.");
  return interpolate(text, { min: number(min), max: number(max) });
}

export function stopRangeText(lines, characters) {
  const text = gettext("At most %(lines)s lines of %(characters)s characters.");
  return interpolate(text, { lines, characters });
}

// --- code ---

export const copyText = () => gettext("Copy");

export const copyCodeText = () => gettext("Copy the code");
