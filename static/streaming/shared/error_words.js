// What the page says to people about what went wrong.

import { gettext } from "./i18n.js";

// The protocol's codes. What an operator says about a closed queue is said as it is.
const ERRORS = {
  invalid_event: () =>
    gettext("The server did not accept this. Change the prompt or its settings, or reload the page."),
  queue_closed: (message) => message || gettext("No new prompts are taken right now."),
  session_changed: () => gettext("You are signed in or out since. Reload the page."),
  unsupported_version: () => gettext("This page is too old. Reload it and try again."),
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
  invalid_file: (message) => message || gettext("A file was not taken. Remove it and send again."),
  already_started: () =>
    gettext("The answer began before your change arrived. You can send the change as a new prompt."),
  already_done: () => gettext("This answer has ended already."),
};

// error: an `error` event. What we have no words for says its own.
export function errorText({ code, message }) {
  return ERRORS[code]?.(message) ?? message;
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

// error: that of a failed answer, or null. What we have no words for says its own.
export function faultText(error) {
  return FAULTS[error?.code]?.() ?? (error?.message || gettext("The answer failed."));
}
