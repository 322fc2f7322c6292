// Sends one file to the server and tells how far it is.

import { cookie } from "../shared/request.js";
import { failedText, unreachableText } from "./words.js";

const BUSY = 503;
const TRIES = 8;
const PAUSE = 1_500; // ms between two of them

// Resolves with what the server says of the file. Rejects with an Error that has words for people,
// and `canRetry`, or with an AbortError. onShare(0 to 1) is called while it is sent.
export async function upload(file, { url, owner, signal, onShare }) {
  for (let tries = 1; ; tries += 1) {
    const { status, said } = await send(file, { url, owner, signal, onShare });
    if (status === 201) return said;
    if (status !== BUSY || tries === TRIES) {
      throw Object.assign(new Error(said?.message ?? failedText()), { canRetry: status >= 500 });
    }
    await pause(PAUSE, signal);
  }
}

function send(file, { url, owner, signal, onShare }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // `fetch` does not tell how much it has sent
    const body = new FormData();
    body.append("file", file, file.name);
    request.open("POST", url);
    request.setRequestHeader("X-CSRFToken", cookie("csrftoken"));
    request.setRequestHeader("X-Owner", owner);
    request.responseType = "json";
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) onShare(event.loaded / event.total);
    };
    request.onload = () => resolve({ status: request.status, said: request.response });
    request.onerror = () =>
      reject(Object.assign(new Error(unreachableText()), { canRetry: true }));
    request.onabort = () => reject(new DOMException("", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    if (signal.aborted) request.onabort();
    else request.send(body);
  });
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("", "AbortError"));
    });
  });
}
