// The versions of a turn: other prompts in its place (edited) are chosen under the prompt, other
// answers to the same prompt (regenerated) under the answer.

const PLACES = { prompt: ".prompt-actions", answer: ".answer-actions" };

// details: { versions, prompts }: the responses of the turn, oldest first, and for each of them the
// number of its prompt. Of another prompt its newest answer stands for it.
export function versionsOf({ versions, prompts }, id) {
  const own = prompts[versions.indexOf(id)];
  const numbers = [...new Set(prompts)];
  return {
    prompt: numbers.map((number) => (number === own ? id : versions[prompts.lastIndexOf(number)])),
    answer: versions.filter((_, index) => prompts[index] === own),
  };
}

// The details of a turn that has one version more; regenerates: whose prompt it has, if it is not
// another one.
export function withVersion({ versions, prompts }, id, regenerates) {
  const number = prompts[versions.indexOf(regenerates)] ?? Math.max(-1, ...prompts) + 1;
  return { versions: [...versions, id], prompts: [...prompts, number] };
}

export function showVersions(view, id) {
  for (const [kind, ids] of Object.entries(versionsOf(view.details, id))) {
    const place = view.find(PLACES[kind]);
    const group = place.querySelector(".versions");
    if (ids.length > 1) describe(group ?? put(kind, place), ids, id);
    else group?.remove();
  }
}

// Which version a button leads to: its id, its index and how many there are; null: to none.
export function chosenBy(button, { details }, id, step) {
  const ids = versionsOf(details, id)[button.closest(".versions").dataset.kind];
  const index = ids.indexOf(id) + step;
  return index in ids ? { id: ids[index], index, count: ids.length } : null;
}

function put(kind, place) {
  const group = document.getElementById(`${kind}-versions`).content.firstElementChild.cloneNode(true);
  place.prepend(group);
  return group;
}

function describe(group, ids, id) {
  const index = ids.indexOf(id);
  group.querySelector(".version").textContent = `${index + 1} / ${ids.length}`;
  group.querySelector(".older").setAttribute("aria-disabled", String(index === 0));
  group.querySelector(".newer").setAttribute("aria-disabled", String(index === ids.length - 1));
}
