// Shows where a search has found its words: the address has the response (`leaf`) and the query
// (`find`). The words are marked without a change of the page, by the browser's highlights.

const MOST_STEPS = 100; // "Show earlier messages" is pressed so many times at most

const address = new URL(location.href);
const query = address.searchParams.get("find") ?? "";
const leaf = address.searchParams.get("leaf") ?? "";

// The words of a query, as the server reads them (record/search.py).
function termsOf(text) {
  const found = [...text.matchAll(/"([^"]*)(?:"|$)|([^\s"]+)/g)];
  const terms = found.map(([, quoted, plain]) => (quoted ?? plain).trim()).filter(Boolean);
  return terms.length ? terms : [text.trim()].filter(Boolean);
}

const answer = () => document.querySelector(`.answer[data-response-id="${CSS.escape(leaf)}"]`);

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// The turn, however long ago it was. (It may stand under the id of what went on with it.)
async function turnOf() {
  for (let step = 0; step < MOST_STEPS && !answer(); step++) {
    const button = document.querySelector(".show-earlier");
    if (!button) break;
    button.click();
    while (button.isConnected && button.disabled) await pause(30);
    if (button.isConnected) break; // it did not work, and the page says why
  }
  return answer()?.closest(".turn") ?? null;
}

function rangesIn(element, pattern) {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const nodes = [];
  let text = "";
  while (walker.nextNode()) {
    nodes.push({ node: walker.currentNode, start: text.length });
    text += walker.currentNode.data;
  }
  const point = (offset, isEnd) => {
    const at = nodes.findLast(({ start }) => (isEnd ? start < offset : start <= offset));
    return [at.node, offset - at.start];
  };
  return [...text.matchAll(pattern)].map(({ index, 0: match }) => {
    const range = document.createRange();
    range.setStart(...point(index, false));
    range.setEnd(...point(index + match.length, true));
    return range;
  });
}

function patternOf(terms) {
  const escaped = terms
    .sort((one, other) => other.length - one.length)
    .map((term) => term.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
  return new RegExp(escaped.join("|"), "giu");
}

async function show() {
  address.searchParams.delete("find");
  history.replaceState(history.state, "", address.pathname + address.search);
  const turn = await turnOf();
  if (!turn) return;
  turn.querySelector(".prompt .more:not([hidden])")?.click();
  const pattern = patternOf(termsOf(query));
  const places = [".bubble", ".text"].map((each) => turn.querySelector(each)).filter(Boolean);
  const ranges = places.flatMap((each) => rangesIn(each, pattern));
  if (window.Highlight && CSS.highlights) CSS.highlights.set("found", new Highlight(...ranges));
  const target = ranges[0]?.startContainer.parentElement ?? turn;
  target.scrollIntoView({ block: "center" });
  const place = target.closest(".bubble, .block") ?? turn;
  place.classList.add("found", ...(ranges.length ? [] : ["unmarked"]));
  place.tabIndex = -1;
  place.focus({ preventScroll: true });
}

if (query && leaf) show();
