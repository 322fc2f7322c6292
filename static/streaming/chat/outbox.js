// What goes to the server: the prompts of this page in their order, and what takes them back.

export class Outbox {
  #turns;
  #socket;
  #branches;
  #composer;
  #settings;
  #onTakenBack; // called when an answer that the server never had has left the page

  constructor({ turns, socket, branches, composer, settings, onTakenBack }) {
    this.#turns = turns;
    this.#socket = socket;
    this.#branches = branches;
    this.#composer = composer;
    this.#settings = settings;
    this.#onTakenBack = onTakenBack;
  }

  // One after the other: each names the one before it, which the server must know by then.
  submitWaiting() {
    for (const answer of this.#turns.open) {
      if (!answer.isAsked) this.#submit(answer);
      if (!answer.state.isKnown) return;
    }
  }

  cancel(answer) {
    if (!answer) return;
    if (!answer.state.is("draft")) {
      const event_id = `cancel:${answer.id}`;
      this.#socket.send({ type: "response.cancel", event_id, response_id: answer.id });
    } else if (this.#turns.get(answer.id)) this.takeBack(answer);
  }

  // What the server does not have: the page is as before, and the prompt in the box if it is empty.
  takeBack(answer) {
    if (answer.task.continues) {
      answer.goBack();
      this.#turns.renamed();
    } else {
      this.#turns.remove(answer);
      const before = answer.replaced ?? [];
      for (const earlier of before) if (earlier.isOpen) earlier.interrupt(false); // is told again
      this.#turns.restore(before);
      const isPrompt = !answer.task.regenerates;
      if (isPrompt && this.#composer.isEmpty) {
        this.#composer.text = answer.prompt;
        this.#composer.files.give(answer.view.details.attachments);
      }
    }
    this.#onTakenBack();
  }

  // What the server has is told again; anything else is sent (again: its id makes it the same).
  #submit(answer) {
    const response_id = answer.id;
    const { isKnown } = answer.state;
    const event = isKnown
      ? { type: "chatstream:resume", event_id: `create:${response_id}`, response_id }
      : this.#createEvent(answer);
    if (this.#socket.send(event, !isKnown)) answer.state.to("sent");
  }

  #createEvent(answer) {
    const common = {
      type: "response.create",
      event_id: `create:${answer.id}`,
      response_id: answer.id,
      conversation_id: this.#branches.conversationId,
      params: answer.params,
    };
    if (answer.task.regenerates || answer.task.continues) return { ...common, ...answer.task };
    const previous_response_id = this.#turns.previousOf(answer);
    const opening = this.#branches.conversationId ? {} : this.#settings.openingFields;
    return { ...common, ...opening, input: inputOf(answer), previous_response_id };
  }
}

// A text, or what came with it and the text.
function inputOf({ prompt, view }) {
  const { attachments } = view.details;
  if (!attachments.length) return prompt;
  return prompt ? [...attachments, { type: "input_text", text: prompt }] : attachments;
}
