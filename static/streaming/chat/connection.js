// What the header says of the connection: nothing as long as it is as it should be. The page keeps
// its state in `data-state`; whether it is told stands in `data-told`.

const SLOW = 3_000; // ms until the first connection is told to be awaited
const BACK = 4_000; // ms that a connection is told to be there again

const element = document.getElementById("connection");
let timer = setTimeout(() => tell(true), SLOW);

function tell(isTold) {
  element.toggleAttribute("data-told", isTold);
}

function onState() {
  const { state } = element.dataset;
  if (state === "connecting") return; // as it was: the first time, or after a loss
  clearTimeout(timer);
  if (state !== "open") tell(true);
  else timer = setTimeout(() => tell(false), element.hasAttribute("data-told") ? BACK : 0);
}

new MutationObserver(onState).observe(element, { attributeFilter: ["data-state"] });
onState();
