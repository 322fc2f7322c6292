// Requests to our own server: the CSRF token on what changes something, and words for people
// when it did not work.

export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status; // 0 when the server was not reached
  }
}

// The answer's text. Rejects with Refused, or with AbortError if the signal says so.
// isFresh: neither from a cache nor from where the server sends somebody else
export function get(url, signal, isFresh = false) {
  return ask(url, isFresh ? { signal, cache: "no-store", redirect: "error" } : { signal });
}

export function post(url, fields = {}, headers = {}) {
  const body = new URLSearchParams(fields);
  const token = { "X-CSRFToken": cookie("csrftoken") };
  return ask(url, { method: "POST", body, headers: { ...token, ...headers } });
}

export function cookie(name) {
  const found = document.cookie.split("; ").find((part) => part.startsWith(`${name}=`));
  return found ? found.slice(name.length + 1) : "";
}

// For a year, so that the server renders the next page as this one is left.
export function setCookie(name, value) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `${name}=${value}; path=/; max-age=31536000; SameSite=Lax${secure}`;
}

// The answer, whatever its status. Every request of ours goes through here. Rejects with Refused if
// the server is not reached, or with AbortError.
export async function reply(url, options) {
  try {
    return await fetch(url, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(gettext("The server cannot be reached. Try again in a moment."), 0);
  }
}

async function ask(url, options) {
  const response = await reply(url, options);
  if (response.ok) return response.text();
  throw new Refused(await reason(response), response.status);
}

async function reason(response) {
  if (response.headers.get("Content-Type")?.startsWith("application/json")) {
    const { message } = await response.json();
    if (message) return message;
  }
  if (response.status === 403) return gettext("This page is too old. Reload it and try again.");
  if (response.status === 404) return gettext("This conversation does not exist any more.");
  return gettext("Something went wrong on the server. Try again.");
}
