// What the page asks the server for beside the socket. Each rejects with a Gone or another Error.

import { get, post, Refused } from "../shared/request.js";

export class Gone extends Error {}

// The turns that lead through a response (or to the newest one), as an element.
export async function turns(conversationId, query = {}) {
  const parameters = new URLSearchParams({ part: "thread", ...query });
  const text = await toldIfGone(get(`/c/${conversationId}/?${parameters}`, undefined, true));
  const page = new DOMParser().parseFromString(text, "text/html");
  const element = page.getElementById("turns");
  if (!element) throw new Error("The server sent something else.");
  return document.adoptNode(element);
}

// The id of the newest response.
export async function newest(conversationId) {
  const text = await toldIfGone(get(`/c/${conversationId}/newest/`, undefined, true));
  return JSON.parse(text).newest;
}

export async function rate(responseId, rating) {
  await toldIfGone(post(`/r/${responseId}/rating/`, { rating }));
}

async function toldIfGone(asked) {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof Refused && error.status === 404) throw new Gone(error.message);
    throw error;
  }
}
