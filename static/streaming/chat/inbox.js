// What the server says, and what it means for the page.

import { errorText } from "../shared/error_words.js";
import { outcomeOf } from "./outcome.js";
import * as words from "../shared/words.js";

const PASSING = ["unavailable", "rate_limited"];
const AGAIN = 2_000; // ms
const UNREAD = ["invalid_event", "rate_limited"]; // said without the id of what was not even read

export class Inbox {
  #page;

  // page: its parts; `onGreeted()` is called when a socket is ready, and returns whether one was lost
  // before; `refresh()` after each change
  constructor(page) {
    this.#page = page;
  }

  take(event) {
    const { turns } = this.#page;
    if (event.type === "chatstream:session") this.#greet(event);
    else if (event.type === "chatstream:session_updated") this.#operatorsWords(event);
    else if (event.type === "chatstream:load") this.#learnLoad(event);
    else if (event.type === "error") this.#onError(event);
    else {
      const answer = turns.get(event.response_id);
      if (answer) this.#onResponseEvent(answer, event);
    }
  }

  #greet(event) {
    const { account, composer, edits, loadLine, modelName, outbox, settings, turns } = this.#page;
    account.greeted(event);
    // Without a worker nobody knows it; most likely it is the one before.
    if (event.model) {
      modelName.show(event);
      settings.learn(event);
    }
    composer.limit = event.limits.max_input_chars;
    settings.maxTokens = event.limits.max_tokens;
    loadLine.learn(event);
    const isBack = this.#page.onGreeted();
    this.#operatorsWords(event);
    for (const answer of turns.open) {
      answer.interrupt(false);
      edits.send(answer);
    }
    outbox.submitWaiting();
    if (isBack) this.#page.lookForNews();
  }

  #learnLoad(event) {
    const { loadLine, modelName, greetAgain } = this.#page;
    loadLine.learn(event);
    if (event.service === "ready" && !modelName.isKnown) greetAgain();
  }

  // Why nothing new is taken, and what all users are told.
  #operatorsWords(event) {
    this.#page.notice.stand("closed", event.notice ?? "");
    this.#page.announcement.show(event.announcement ?? null);
  }

  #onResponseEvent(answer, event) {
    const { conversation, notice, refresh, settings } = this.#page;
    if (!answer.isNew(event)) return;
    switch (event.type) {
      case "response.queued":
        this.#onAccepted(answer, event);
        break;
      case "chatstream:queue_position":
        answer.setPlace(event);
        break;
      case "chatstream:updated":
        answer.edit = null;
        notice.announce(words.updatedText());
        break;
      case "response.in_progress":
        if (answer.waits && answer.place) conversation.call("onTurn");
        answer.start(event);
        break;
      case "response.reasoning_text.delta":
        if (answer.think(event)) notice.announce(words.thinkingAnnouncement());
        settings.hasThought();
        return; // nothing else on the page changes
      case "response.output_text.delta":
        if (answer.append(event)) notice.announce(words.beginsAnnouncement());
        return;
      case "response.output_item.added":
      case "response.output_item.done":
      case "response.function_call_arguments.delta":
      case "response.function_call_arguments.done":
      case "response.refusal.delta":
        answer.content.addItem(event);
        return;
      case "response.completed":
      case "response.incomplete":
      case "response.failed":
        this.#onEnd(answer, event);
        break;
      default:
        return; // it says nothing that the page shows
    }
    refresh();
  }

  #onEnd(answer, event) {
    const { branches, conversation, notice, scroll, tabs } = this.#page;
    const outcome = outcomeOf(event.response);
    answer.finish(outcome, event);
    const { isBlank, thought } = answer;
    const said = words.doneAnnouncement(outcome.status, isBlank, !thought.isBlank);
    notice.announce(said);
    if (outcome.status !== "cancelled") conversation.call("onReady", said);
    if (answer.state.isKnown) tabs.tell({ id: branches.conversationId });
    scroll.follow(); // the buttons below the answer are in sight, too
  }

  #onAccepted(answer, event) {
    const { branches, conversation, edits, outbox } = this.#page;
    const isNew = !answer.state.isKnown;
    answer.confirm();
    answer.setPlace(event);
    if (isNew) {
      branches.added(answer.id);
      conversation.added(event.conversation_id, answer.prompt);
    }
    edits.send(answer);
    outbox.submitWaiting();
  }

  // --- what it does not take ---

  #onError(event) {
    const { account, edits, notice, turns } = this.#page;
    account.isTooOld ||= event.code === "unsupported_version";
    const [kind, id] = (event.event_id ?? "").split(":");
    const answer = turns.get(id);
    const onItsWay = turns.unsent.find((each) => each.isAsked); // one at a time is
    if (!event.event_id && UNREAD.includes(event.code) && onItsWay) {
      this.#reject(onItsWay, event);
    } else if (kind === "cancel") {
      // `already_done` crossed with the end of the answer, which is on its way.
      if (event.code !== "already_done") notice.showError(event);
    } else if (kind === "update" && answer?.edit) {
      edits.refused(answer, event);
    } else if (kind === "create" && answer?.isOpen) {
      this.#reject(answer, event);
    } else this.#showError(event);
  }

  #showError(error) {
    if (!this.#page.account.isToldOf(error)) this.#page.notice.showError(error);
  }

  #reject(answer, error) {
    const { account, composer, outbox, refresh } = this.#page;
    if (answer.state.isKnown && PASSING.includes(error.code)) {
      answer.state.to("resuming"); // the server has it, and will show it
      setTimeout(() => outbox.submitWaiting(), AGAIN);
      return;
    }
    const isUnknown = !answer.state.isKnown && !answer.lastSequence;
    if (isUnknown && (answer.replaced || answer.task.continues || composer.isEmpty)) {
      outbox.takeBack(answer);
      this.#showError(error);
    } else answer.fail(account.isToldOf(error) ? words.signedOutText() : errorText(error));
    outbox.submitWaiting();
    refresh();
  }
}
