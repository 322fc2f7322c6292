// What the cells of the three tables say, in the words of `streaming/admin/queue_rows.py`.

import { ago, elapsed, left, run, stop } from "./queue_clock.js";
import { setAttribute, setText, swap } from "./queue_rows.js";

const SHORT = 8; // characters of an id by which operators know it
const NOTHING = "–";

const STATES = {
  loading: gettext("loading"),
  ready: gettext("ready"),
  hung: gettext("hung"),
  draining: gettext("draining"),
  paused: gettext("paused"),
  running: gettext("running"),
  waiting: gettext("waiting"),
  held: gettext("held"),
};

export function stateWord(state) {
  return STATES[state] ?? state;
}

// --- workers ---

export const workers = {
  key: "worker_id",
  names: (row) => ({ WORKER_ID: row.worker_id }),
  fill(parts, row, { allPaused }) {
    const { details, capacity } = row;
    const { model, device, dtype, rows, tokens_per_second: rate } = details;
    setText(parts.worker, row.worker_id);
    setText(parts.model, model ?? NOTHING);
    setText(parts.device, [device, dtype].filter((text) => text !== undefined).join(" · "));
    setText(parts.state, stateWord(row.state));
    parts.state.dataset.state = row.state;
    parts.paused.hidden = !(row.paused || allPaused);
    setText(parts.share, interpolate(gettext("%s of %s"), [row.running, capacity]));
    setText(parts.rows, rows === undefined || rows === capacity ? "" : rowsText(rows));
    setText(parts.rate, rate === undefined ? NOTHING : rate.toFixed(1));
    setText(parts.memory, memory(details));
    run(parts.beat, row.at.age, ago);
    if (parts.capacity) fillControls(parts, row, rows ?? capacity);
  },
};

function fillControls(parts, row, most) {
  swap(parts.pause, parts.resume, row.paused);
  swap(parts.drain, parts.undrain, row.orders.drain);
  // A worker that ends by itself can be asked for neither.
  parts.drain.hidden = row.state === "draining";
  const field = parts.capacity;
  setAttribute(field, "max", most);
  // What somebody types stays until it is what counts.
  const isTyped = document.activeElement === field || field.value !== field.defaultValue;
  if (!isTyped) field.value = row.capacity;
  field.defaultValue = row.capacity;
}

function rowsText(count) {
  return interpolate(ngettext("%s row", "%s rows", count), [count]);
}

function memory({ kv_bytes: whole, kv_bytes_used: used = 0 }) {
  if (!whole) return NOTHING;
  return interpolate(gettext("%s of %s"), [size(used), size(whole)]);
}

function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) {
    bytes /= 1024;
    unit += 1;
  }
  return `${bytes.toFixed(unit && bytes < 10 ? 1 : 0)} ${units[unit]}`;
}

// --- responses ---

const entry = {
  key: "response_id",
  names: (row) => ({
    RESPONSE_ID: row.response_id,
    SHORT_ID: row.response_id.slice(0, SHORT),
    OWNER: row.owner,
    CONVERSATION_ID: row.conversation_id,
    WORKER_ID: row.worker_id,
  }),
};

function fillNames(parts, row) {
  setText(parts.short, row.response_id.slice(0, SHORT));
  setText(parts.owner, row.owner);
  setText(parts.conversation, row.conversation_id.slice(0, SHORT));
}

export const running = {
  ...entry,
  fill(parts, row, { rates }) {
    const { tokens, max_tokens: limit } = row;
    const rate = rates.of(row);
    fillNames(parts, row);
    setText(parts.prompt, row.prompt_tokens ?? NOTHING);
    setAttribute(parts.bar, "value", tokens);
    setAttribute(parts.bar, "max", limit || 1);
    setText(parts.progress, limit ? `${tokens} / ${limit}` : tokens);
    setText(parts.rate, rate === null ? NOTHING : rate.toFixed(1));
    run(parts.time, row.at.since, elapsed);
    setText(parts.attempt, row.attempt);
    setText(parts.worker, row.worker_id);
    setAttribute(parts.worker, "title", row.worker_id);
  },
};

export const waiting = {
  ...entry,
  fill(parts, row) {
    fillNames(parts, row);
    setText(parts.place, row.position ?? (row.state === "held" ? STATES.held : gettext("back")));
    setAttribute(parts.place, "title", row.position ? "" : placeTitle(row.state));
    run(parts.waited, row.at.asked, elapsed);
    if (row.at.eta === undefined) {
      stop(parts.wait);
      setText(parts.wait, "—");
    } else run(parts.wait, row.at.eta, left);
    for (const button of [parts.front, parts.back]) if (button) button.hidden = !row.position;
  },
};

function placeTitle(state) {
  if (state === "held") return gettext("Waits for the previous answer of its conversation");
  return gettext("Came back from a lost worker, and is ahead of all others");
}
