// The menus of rows and tables. Without this script they are the browser's own popovers already;
// here they stand beside their button, arrow keys go through them, and an action closes them.

const MARGIN = 8; // pixels to the edge of the screen

document.addEventListener(
  "toggle",
  ({ target: menu, newState }) => {
    if (!menu.matches?.(".cs-menu") || newState !== "open") return;
    place(menu);
    items(menu)[0]?.focus({ preventScroll: true });
  },
  { capture: true },
);

function openerOf(menu) {
  return document.querySelector(`[popovertarget="${CSS.escape(menu.id)}"]`);
}

// Below its button, or above where there is no room; on a phone the style sheet has it at the foot.
function place(menu) {
  menu.style.removeProperty("inset");
  if (getComputedStyle(menu).getPropertyValue("--at-foot")) return;
  const button = openerOf(menu).getBoundingClientRect();
  const { width, height } = menu.getBoundingClientRect();
  const isLeft = document.documentElement.dir === "rtl";
  const wanted = isLeft ? button.left : button.right - width;
  const left = Math.min(Math.max(MARGIN, wanted), innerWidth - width - MARGIN);
  const hasRoom = button.bottom + height + MARGIN <= innerHeight;
  const top = hasRoom ? button.bottom : Math.max(MARGIN, button.top - height);
  menu.style.inset = `${top}px auto auto ${left}px`;
}

function items(menu) {
  const all = [...menu.querySelectorAll("button, input")];
  return all.filter((item) => !item.disabled && item.checkVisibility());
}

document.addEventListener("keydown", (event) => {
  const menu = event.target.closest?.(".cs-menu");
  if (!menu || event.target.matches("input") || !STEPS[event.key]) return;
  event.preventDefault();
  const all = items(menu);
  all.at(STEPS[event.key](all.indexOf(event.target), all.length))?.focus();
});

const STEPS = {
  ArrowDown: (at, count) => (at + 1) % count,
  ArrowUp: (at, count) => (at - 1 + count) % count,
  Home: () => 0,
  End: () => -1,
};

document.addEventListener("submit", ({ submitter }) => submitter?.closest(".cs-menu")?.hidePopover());
// What scrolls away from under its menu takes it along.
addEventListener("scroll", ({ target }) => {
  const menu = document.querySelector(".cs-menu:popover-open");
  if (menu && !menu.contains(target)) place(menu);
}, { capture: true, passive: true });
