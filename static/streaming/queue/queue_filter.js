// The search field: the rows that have each of its words, as `streaming/live_queue/search.py` does
// it, while somebody types. It goes on in the address, for a reload and for who gets the link. An
// owner that is clicked is searched.

import { setText } from "./queue_parts.js";

const field = document.getElementById("queue-q");
const note = document.getElementById("queue-found");
const form = document.getElementById("queue-form"); // of who may act
const SEARCHED = ["workers", "running", "waiting"];

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
    document.addEventListener("click", (event) => {
      const link = event.target.closest("a[data-filter]");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      event.preventDefault();
      const owner = link.textContent;
      field.value = field.value.trim() === owner ? "" : owner; // once more: back to all
      field.dispatchEvent(new Event("input", { bubbles: true }));
    });
  }

  get isOn() {
    return field.value.trim() !== "";
  }

  // Of each table that is searched its rows that match, in whatever case: a letter may have two
  // small forms, but has one capital.
  found(rows) {
    const terms = field.value.toUpperCase().split(/\s+/).filter(Boolean);
    const matches = ({ names, states }) => {
      const text = [...Object.values(names), states].join("\n").toUpperCase();
      return terms.every((term) => text.includes(term));
    };
    const found = { ...rows };
    if (terms.length) for (const name of SEARCHED) found[name] = rows[name].filter(matches);
    const all = [count(found), count(rows)];
    setText(note, terms.length ? interpolate(gettext("%s of %s"), all) : "");
    return found;
  }
}

function count(rows) {
  return SEARCHED.reduce((sum, name) => sum + rows[name].length, 0);
}

function remember(query) {
  const url = new URL(location.href);
  if (query) url.searchParams.set("q", query);
  else url.searchParams.delete("q");
  history.replaceState(null, "", url);
  if (!form) return;
  form.elements.next.value = url.pathname + url.search; // where an action comes back to
  form.elements.q.value = query; // what "all that are found" means
}
