// Where the side list stands: a column that can be put away, or on a small screen a drawer over
// the page.

import { isEscape } from "../shared/keys.js";
import { setCookie } from "../shared/request.js";

const app = document.getElementById("app");
const others = document.querySelectorAll(".page, .skip"); // what a drawer lies over
const side = document.getElementById("side");
const opener = document.getElementById("side-open");
const closer = document.getElementById("side-close");
const shade = document.getElementById("side-shade");
const small = matchMedia("(width < 60rem)"); // as in sidebar.css

const isDrawerOpen = () => app.dataset.drawer === "open";

function setDrawer(open) {
  if (open) app.dataset.drawer = "open";
  else delete app.dataset.drawer;
  shade.hidden = !open;
  for (const other of others) other.inert = open; // so that Tab stays in the drawer
  describe();
}

function describe() {
  const open = small.matches ? isDrawerOpen() : app.dataset.side !== "closed";
  opener.setAttribute("aria-expanded", String(open));
  closer.setAttribute("aria-expanded", String(open));
}

export function closeDrawer() {
  if (!isDrawerOpen()) return;
  setDrawer(false);
  opener.focus();
}

function toggleColumn(closed) {
  if (closed) app.dataset.side = "closed";
  else delete app.dataset.side;
  setCookie("side", closed ? "closed" : "open");
  describe();
  (closed ? opener : closer).focus();
}

opener.addEventListener("click", () => {
  if (!small.matches) return toggleColumn(false);
  setDrawer(true);
  closer.focus();
});
closer.addEventListener("click", () => (small.matches ? closeDrawer() : toggleColumn(true)));
shade.addEventListener("click", closeDrawer);
side.addEventListener("keydown", (event) => {
  if (isEscape(event) && !event.defaultPrevented) closeDrawer();
});
small.addEventListener("change", () => setDrawer(false));
describe();
