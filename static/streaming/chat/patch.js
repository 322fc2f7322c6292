// Makes an element's content equal to other content, and leaves alone whatever is equal already.
//
// What a reader has selected, and where the keyboard is, stays: a text that has only grown is
// appended to, and an element that has only changed inside keeps its place.

const READERS = "open"; // whether details are is the reader's, from when they are on the page

// from: the element that holds what there should be; it is taken apart.
export function patch(to, from) {
  let old = to.firstChild;
  for (const wanted of [...from.childNodes]) {
    if (old && isSame(old, wanted)) {
      if (old.nodeType === Node.TEXT_NODE) patchText(old, wanted.data);
      else patchElement(old, wanted);
      old = old.nextSibling;
    } else to.insertBefore(wanted, old);
  }
  while (old) {
    const next = old.nextSibling;
    old.remove();
    old = next;
  }
}

// Makes the items of a list from number `keep` on those of another list.
export function patchItems(list, from, keep) {
  const old = [...list.children].slice(keep);
  for (const wanted of [...from.children]) {
    const item = old.shift();
    if (item) patchElement(item, wanted);
    else list.append(wanted, "\n");
  }
  for (const item of old) item.remove();
}

function patchElement(to, from) {
  patchAttributes(to, from);
  patch(to, from);
}

function isSame(one, other) {
  return one.nodeType === other.nodeType && one.nodeName === other.nodeName;
}

export function patchText(node, text) {
  const shown = node.data;
  if (shown === text) return;
  if (text.startsWith(shown)) node.appendData(text.slice(shown.length));
  else node.data = text;
}

function patchAttributes(to, from) {
  for (const { name } of [...to.attributes]) {
    if (!from.hasAttribute(name) && name !== READERS) to.removeAttribute(name);
  }
  for (const { name, value } of from.attributes) {
    if (to.getAttribute(name) !== value && name !== READERS) to.setAttribute(name, value);
  }
}
