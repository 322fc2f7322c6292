// Whose page it is. Who was signed in and is not any more, by another tab or by time, is told so,
// and what bears the account's titles goes.

import { newChatText, signedOutText, signInText } from "../shared/words.js";

export class Account {
  isSignedOut = false;
  isTooOld = false; // the page: the server speaks another version, which it has said
  #config;
  #notice;
  #wasSignedIn;

  // config: the page's
  constructor(config, notice) {
    this.#config = config;
    this.#notice = notice;
    this.#wasSignedIn = config.signed_in;
  }

  // greeting: a `chatstream:session`; only a visitor has a token
  greeted({ session_token: token }) {
    this.#wasSignedIn ||= token === null;
    if (this.#wasSignedIn && typeof token === "string") this.#leave();
    else {
      this.isSignedOut = false;
      this.#notice.stand("identity", "");
    }
  }

  // The server wants an account.
  refused() {
    if (this.isTooOld) return;
    if (this.#wasSignedIn) this.#leave();
    else this.#notice.showError({ code: "login_required" });
  }

  // A socket's own error is said by its close, and who is signed out finds nothing of the account's.
  isToldOf({ code }) {
    return (
      ["login_required", "session_changed"].includes(code) ||
      (this.isSignedOut && ["not_found", "forbidden"].includes(code))
    );
  }

  #leave() {
    this.isSignedOut = true;
    const here = encodeURIComponent(location.pathname + location.search);
    const href = `${this.#config.login_url}?next=${here}`;
    this.#notice.stand("identity", signedOutText(), { href, text: signInText() });
    forgetTitle();
    document.dispatchEvent(new CustomEvent("signed-out")); // the side list listens
  }
}

// The conversation is not this reader's any more.
export function forgetTitle() {
  document.title = "ChatStream";
  document.querySelector("h1").textContent = newChatText();
}
