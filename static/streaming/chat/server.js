// What the page asks the server for beside the socket. Each rejects with a Gone or another Error.

export class Gone extends Error {}

// The turns that lead through a response (or to the newest one), as an element.
export async function turns(conversationId, query = {}) {
  const parameters = new URLSearchParams({ part: "thread", ...query });
  const response = await get(`/c/${conversationId}/?${parameters}`);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const element = page.getElementById("turns");
  if (!element) throw new Error("The server sent something else.");
  return document.adoptNode(element);
}

// The id of the newest response.
export async function newest(conversationId) {
  return (await (await get(`/c/${conversationId}/newest/`)).json()).newest;
}

export async function rate(responseId, rating) {
  await ask(`/r/${responseId}/rating/`, {
    method: "POST",
    headers: { "X-CSRFToken": document.querySelector("meta[name=csrf-token]").content },
    body: new URLSearchParams({ rating }),
  });
}

const get = (url) => ask(url, { headers: { Accept: "text/html, application/json" } });

async function ask(url, options) {
  const response = await fetch(url, { ...options, redirect: "error", cache: "no-store" });
  if (response.status === 404) throw new Gone(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response;
}
