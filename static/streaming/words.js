// What the page says to people. The server renders stored turns with the same words.

const ERRORS = {
  queue_full: "The queue is full. Try again in a moment.",
  user_limit: "You have as many open prompts as one person may have. Try again when one is done.",
  address_limit: "Too many prompts from your network are open. Try again in a moment.",
  unavailable: "The service cannot take prompts right now. Try again in a moment.",
  internal_error: "Something went wrong on the server. Try again.",
  not_found: "This conversation does not exist any more. Start a new chat.",
  login_required: "Please sign in to chat here.",
};

export function errorText(event, maxInputChars) {
  if (event.code === "input_too_long") {
    return `The prompt is too long: at most ${maxInputChars.toLocaleString("en")} characters.`;
  }
  return ERRORS[event.code] ?? event.message;
}

export function placeText({ position, size, workers }) {
  if (workers === 0) return "No worker is running; your prompt waits";
  if (position === null) return "Waits for your previous answer";
  if (position === 1) return "You are next";
  return `${ordinal(position)} of ${Math.max(size, position)} in the queue`;
}

// Rounded as somebody would say it; "" when nobody can tell.
export function etaText({ startsAt }) {
  if (startsAt === null) return "";
  const seconds = Math.max(0, startsAt - Date.now()) / 1000;
  if (seconds < 3) return "any moment now";
  if (seconds < 20) return `about ${Math.round(seconds)} s`;
  if (seconds < 90) return `about ${Math.round(seconds / 5) * 5} s`;
  return `about ${Math.round(seconds / 60)} min`;
}

function ordinal(number) {
  const teen = number % 100 >= 11 && number % 100 <= 13;
  const suffix = teen ? "th" : { 1: "st", 2: "nd", 3: "rd" }[number % 10] ?? "th";
  return `${number}${suffix}`;
}

export function trimmedNote(count) {
  if (count === 1) return "The oldest message no longer fit and was left out.";
  return `The oldest ${count} messages no longer fit and were left out.`;
}

export function doneText({ status, usage, timings, error }) {
  if (status === "cancelled" && timings.ttft_ms === null && !usage.completion_tokens) {
    return "Withdrawn before it started";
  }
  const parts = [];
  if (status === "cancelled") parts.push("Stopped");
  if (status === "incomplete") parts.push("Cut at the token limit");
  if (status === "failed") parts.push(error?.message || "The answer failed.");
  const tokens = usage.completion_tokens;
  if (tokens) {
    parts.push(tokens === 1 ? "1 token" : `${tokens} tokens`);
    parts.push(`${(timings.total_ms / 1000).toFixed(1)} s`);
  }
  return parts.join(" · ");
}

// For those who hear the page.
export function doneAnnouncement(status) {
  return {
    completed: "The answer is complete.",
    incomplete: "The answer was cut at the token limit.",
    cancelled: "The answer was stopped.",
    failed: "The answer failed.",
  }[status];
}
