// Prompts being changed: in the queue they keep their place, later they make a new version.

import { edit } from "./editor.js";
import { saveAndSendText, saveText } from "../shared/words.js";

export class Edits {
  #page;

  // page: { turns, socket, notice, composer, ask(text), replace(answer, text) }
  constructor(page) {
    this.#page = page;
  }

  // `text`, if given, is what stands in the editor at first.
  start(answer, text) {
    edit(answer.view, {
      limit: () => this.#page.composer.limit,
      saveText: answer.waits ? saveText() : saveAndSendText(),
      text,
      onSave: (saved) => this.#save(answer, saved),
    });
  }

  startLast() {
    const { last } = this.#page.turns;
    if (last && !last.view.find(".edit").hidden) this.start(last);
  }

  // Tells the server; again after a reconnection, until it has answered.
  send(answer) {
    if (!answer.edit || !answer.state.isKnown) return;
    const event_id = `update:${answer.id}`;
    const { id: response_id, edit: { text: input } } = answer;
    this.#page.socket.send({ type: "chatstream:update", event_id, response_id, input }, true);
  }

  // What was to be changed is not, and what was written is not lost.
  refused(answer, error) {
    const { text, before } = answer.edit;
    const { composer, notice } = this.#page;
    answer.view.prompt = before;
    answer.edit = null;
    notice.showError(error);
    if (composer.isEmpty) {
      composer.text = text;
      composer.focus();
    } else this.start(answer, text);
  }

  #save(answer, text) {
    const { turns, ask, replace, notice, composer } = this.#page;
    if (turns.get(answer.id) !== answer) ask(text); // it has left the page meanwhile
    else if (!answer.waits) {
      notice.show("");
      replace(answer, text);
      composer.rest();
    } else if (text !== answer.prompt) {
      answer.edit = answer.state.is("draft") ? null : { text, before: answer.prompt };
      answer.view.prompt = text;
      this.send(answer);
    }
  }
}
