// What the page says to people, about stored turns and about those that it sees happen.

import { gettext, interpolate, ngettext, number } from "./i18n.js";

// The protocol's codes. What an operator says about a closed queue is said as it is.
const ERRORS = {
  invalid_event: () =>
    gettext("The server did not accept this. Change the prompt or its settings, or reload the page."),
  queue_closed: (message) => message || gettext("No new prompts are taken right now."),
  session_changed: () => gettext("You are signed in or out since. Reload the page."),
  queue_full: () => gettext("The queue is full. Try again in a moment."),
  user_limit: () =>
    gettext("You have as many open prompts as one person may have. Try again when one is done."),
  address_limit: () =>
    gettext("Too many prompts from your network are open. Try again in a moment."),
  unavailable: () =>
    gettext("The service cannot take prompts right now. Try again in a moment."),
  internal_error: () => gettext("Something went wrong on the server. Try again."),
  not_found: () => gettext("This conversation does not exist any more. Start a new chat."),
  forbidden: () => gettext("This belongs to somebody else. Start a new chat."),
  login_required: () => gettext("Please sign in to chat here."),
  rate_limited: () => gettext("That was too much at once. Wait a moment, then try again."),
  input_too_long: () => gettext("The prompt is too long. Shorten it and send it again."),
  already_started: () =>
    gettext("The answer began before your change arrived. You can send the change as a new prompt."),
  already_done: () => gettext("This answer has ended already."),
};

// error: an `error` event. What we have no words for says its own.
export function errorText({ code, message }) {
  return ERRORS[code]?.(message) ?? message;
}

// --- the queue ---

export function placeText({ position, size, service }) {
  const place = rankText(position, size);
  const trouble = {
    away: () => gettext("No worker is running; your prompt waits"),
    loading: () => gettext("The model is loading"),
    paused: () => gettext("The queue is paused"),
    draining: () => gettext("No new answers are begun right now; your prompt waits"),
  }[service]?.();
  if (!trouble) return place;
  return position === null || service === "away" ? trouble : `${trouble} · ${place}`;
}

// While the connection is lost: neither what the workers do nor the place is known.
export function lastPlaceText({ position, size }) {
  const text = gettext("Your prompt keeps its place. Before the break: %(place)s");
  return interpolate(text, { place: rankText(position, size) });
}

function rankText(position, size) {
  if (position === null) return gettext("Waits for your previous answer");
  if (position === 1) return gettext("You are next");
  const text = gettext("%(rank)s of %(size)s in the queue");
  const ahead = ngettext("%(count)s prompt ahead", "%(count)s prompts ahead", position - 1);
  return [
    interpolate(text, { rank: ordinal(position), size: number(Math.max(size, position)) }),
    interpolate(ahead, { count: number(position - 1) }),
  ].join(" · ");
}

function ordinal(value) {
  const form = new Intl.PluralRules("en", { type: "ordinal" }).select(value);
  return {
    one: interpolate(gettext("%(number)sst"), { number: number(value) }),
    two: interpolate(gettext("%(number)snd"), { number: number(value) }),
    few: interpolate(gettext("%(number)srd"), { number: number(value) }),
    other: interpolate(gettext("%(number)sth"), { number: number(value) }),
  }[form];
}

// Rounded as somebody would say it; "" when nobody can tell.
export function etaText({ startsAt }) {
  if (startsAt === null) return "";
  const seconds = Math.max(0, startsAt - Date.now()) / 1000;
  if (seconds < 3) return gettext("any moment now");
  if (seconds >= 90) {
    return interpolate(gettext("about %(minutes)s min"), { minutes: Math.round(seconds / 60) });
  }
  const rounded = seconds < 20 ? Math.round(seconds) : Math.round(seconds / 5) * 5;
  return interpolate(gettext("about %(seconds)s s"), { seconds: rounded });
}

export const sendingText = () => gettext("Sending");

export const notSentText = () => gettext("Not sent yet");

export function manyWaitText(count) {
  const text = ngettext("%(count)s of your prompts waits", "%(count)s of your prompts wait", count);
  return interpolate(text, { count: number(count) });
}

export const heldText = () => gettext("Waits for your previous answer");

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

// The protocol's codes of a failed answer.
const FAULTS = {
  input_too_long: () => gettext("The conversation is longer than the model can read."),
  context_length_exceeded: () =>
    gettext("The conversation is longer than the model can read, and nothing may be left out of it."),
  invalid_messages: () => gettext("The model cannot read a conversation like this one."),
  invalid_params: () => gettext("The model cannot write with these settings."),
  template_overrun: () => gettext("The model's chat template took too long for this conversation."),
  unavailable: () => gettext("The model was just ending. Try again."),
  context_full: () =>
    gettext("The model cannot hold a longer answer. Ask a new question instead of continuing."),
  engine_error: () => gettext("The model failed at this answer."),
  worker_lost: () => gettext("The workers that wrote this answer were lost."),
  queue_timeout: () => gettext("It waited too long for a place."),
  upstream_unavailable: () => gettext("The model's server is away or too busy. Try again later."),
  upstream_refused: () => gettext("The model's server refused; the operator has to look."),
  not_continuable: () => gettext("The model's server cannot go on with an answer."),
  tool_calls: () => gettext("The model wants to use a tool, and there is none here."),
  content_filter: () => gettext("The model's server withheld the rest of this answer."),
  generation_timeout: () => gettext("The answer took too long and was ended."),
  internal_error: () => gettext("Something went wrong on the server."),
};

// fields: those of `response.done`, and whether it `began` at all; isBlank: there is nothing to
// read; hasThought: but a thought
export function doneText(
  { status, usage, timings, error, began },
  isBlank = false,
  hasThought = false,
) {
  if (status === "cancelled" && !began && !usage.completion_tokens) {
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
    parts.push(FAULTS[error?.code]?.() ?? (error?.message || gettext("The answer failed.")));
  }
  const tokens = usage.completion_tokens;
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
