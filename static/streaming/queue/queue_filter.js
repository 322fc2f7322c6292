// The search field: the rows that have each of its words, as `streaming/admin/queue_rows.py` does
// it, while somebody types. It goes on in the address, for a reload and for who gets the link.

import { stateWord } from "./queue_cells.js";
import { setText } from "./queue_rows.js";

const field = document.getElementById("queue-q");
const note = document.getElementById("queue-found");
const next = document.querySelector("#queue-form [name=next]"); // where an action comes back to

export class Filter {
  // onChange: called when other words are searched; true if that was done. The server does it
  // otherwise.
  constructor(onChange) {
    let isDone = false;
    field.addEventListener("input", () => {
      remember(field.value.trim());
      isDone = onChange();
    });
    field.form.addEventListener("submit", (event) => isDone && event.preventDefault());
  }

  get isOn() {
    return field.value.trim() !== "";
  }

  // Of each table of the queue, the rows that are searched, in whatever case: a letter may have two
  // small forms, but has one capital.
  found(queue) {
    const terms = field.value.toUpperCase().split(/\s+/).filter(Boolean);
    const matching = (rows, words) => {
      if (!terms.length) return rows;
      return rows.filter((row) => {
        const text = words(row).join("\n").toUpperCase();
        return terms.every((term) => text.includes(term));
      });
    };
    const found = {
      workers: matching(queue.workers, (row) => workerWords(row, queue.paused)),
      running: matching(queue.running, entryWords),
      waiting: matching(queue.waiting, entryWords),
    };
    const all = [count(found), count(queue)];
    setText(note, terms.length ? interpolate(gettext("%s of %s"), all) : "");
    return found;
  }
}

function count({ workers, running, waiting }) {
  return workers.length + running.length + waiting.length;
}

function workerWords({ worker_id: id, state, paused, details }, allPaused) {
  const { host = "", model = "", device = "", dtype = "" } = details;
  const states = [state, stateWord(state)];
  if (paused || allPaused) states.push("paused", stateWord("paused"));
  return [id, host, model, device, dtype, ...states];
}

function entryWords(row) {
  const { response_id: id, owner, conversation_id: conversation, worker_id: worker, state } = row;
  return [id, owner, conversation, worker, state, stateWord(state)];
}

function remember(query) {
  const url = new URL(location.href);
  if (query) url.searchParams.set("q", query);
  else url.searchParams.delete("q");
  history.replaceState(null, "", url);
  if (next) next.value = url.pathname + url.search;
}
