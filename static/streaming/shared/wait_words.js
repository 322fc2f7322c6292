// What the page says of the queue: to who waits in it, and to who has not asked yet.

import { gettext, interpolate, ngettext, number } from "./i18n.js";
import { durationText } from "./words.js";

// What is said of an answer that waits; isBehind: it follows another one that does.
export function stateText({ place, state }, isOnline, isBehind = false) {
  if (!isOnline && state.is("draft")) return notSentText();
  if (place) return isOnline ? placeText(place) : lastPlaceText(place);
  return isBehind ? heldText() : sendingText();
}

export function placeText({ position, size, service }) {
  const place = rankText(position, size);
  const trouble = troubleText(service);
  if (!trouble) return place;
  return position === null || service === "away" ? trouble : `${trouble} · ${place}`;
}

// Why nobody is begun right now; "" where somebody is.
export function troubleText(service) {
  const trouble = {
    away: () => gettext("No worker is running; your prompt waits"),
    loading: () => gettext("The model is loading"),
    paused: () => gettext("The queue is paused"),
    draining: () => gettext("No new answers are begun right now; your prompt waits"),
  };
  return trouble[service]?.() ?? "";
}

// While the connection is lost: neither what the workers do nor the place is known.
export function lastPlaceText({ position, size }) {
  const text = gettext("Your prompt keeps its place. Before the break: %(place)s");
  return interpolate(text, { place: rankText(position, size) });
}

function rankText(position, size) {
  if (position === null) return gettext("Waits for your previous answer");
  if (position === 1) return gettext("You are next");
  const text = gettext("%(rank)s of %(size)s in the queue");
  return [
    interpolate(text, { rank: ordinal(position), size: number(Math.max(size, position)) }),
    aheadText(position),
  ].join(" · ");
}

export function aheadText(position) {
  if (position === 1) return gettext("You are next");
  const text = ngettext("%(count)s prompt ahead", "%(count)s prompts ahead", position - 1);
  return interpolate(text, { count: number(position - 1) });
}

function ordinal(value) {
  const form = new Intl.PluralRules("en", { type: "ordinal" }).select(value);
  return {
    one: interpolate(gettext("%(number)sst"), { number: number(value) }),
    two: interpolate(gettext("%(number)snd"), { number: number(value) }),
    few: interpolate(gettext("%(number)srd"), { number: number(value) }),
    other: interpolate(gettext("%(number)sth"), { number: number(value) }),
  }[form];
}

// Rounded as somebody would say it, a range where it is known; "" when nobody can tell.
export function etaText({ startsAt, earliest, latest }) {
  if (startsAt === null) return "";
  if (secondsTo(latest ?? startsAt) < 3) return soonText();
  if (earliest === null || latest === null) return aboutText(spoken(secondsTo(startsAt)));
  const [low, high] = [spoken(Math.max(1, secondsTo(earliest))), spoken(secondsTo(latest))];
  if (low.text === high.text) return aboutText(high);
  if (low.isMinutes !== high.isMinutes) {
    const text = gettext("about %(seconds)s s to %(minutes)s min");
    return interpolate(text, { seconds: number(low.count), minutes: number(high.count) });
  }
  const text = low.isMinutes
    ? gettext("about %(low)s to %(high)s min")
    : gettext("about %(low)s to %(high)s s");
  return interpolate(text, { low: number(low.count), high: number(high.count) });
}

const soonText = () => gettext("any moment now");

const secondsTo = (time) => Math.max(0, time - Date.now()) / 1000;

function spoken(seconds) {
  const isMinutes = seconds >= 90;
  const step = isMinutes ? 60 : seconds < 20 ? 1 : 5;
  const count = Math.round(seconds / step) * (isMinutes ? 1 : step);
  return { isMinutes, count, text: `${count} ${isMinutes}` };
}

function aboutText({ isMinutes, count }) {
  if (isMinutes) return interpolate(gettext("about %(minutes)s min"), { minutes: number(count) });
  return interpolate(gettext("about %(seconds)s s"), { seconds: number(count) });
}

export const sendingText = () => gettext("Sending");

export const notSentText = () => gettext("Not sent yet");

export function manyWaitText(count) {
  const text = ngettext("%(count)s of your prompts waits", "%(count)s of your prompts wait", count);
  return interpolate(text, { count: number(count) });
}

export const heldText = () => gettext("Waits for your previous answer");

// --- the card of who waits ---

export const numberText = ({ position }) => number(position);

export const lostPlaceText = () =>
  gettext("The page is connecting again; your prompt keeps its place");

export function sizeText({ position, size }) {
  const text = gettext("of %(size)s in the queue");
  return interpolate(text, { size: number(Math.max(size, position)) });
}

const LEAST_KEPT = 5; // s: nobody closes a tab and is back sooner

// seconds: as `Place.keptSeconds`; "" where the server does not say how long it keeps a place.
export function keptText(seconds) {
  if (seconds === undefined) return "";
  if (seconds === null) {
    return gettext("You can close this tab: your place is kept as long as you are signed in.");
  }
  if (seconds < LEAST_KEPT) return gettext("Keep this tab open: your place goes when it is closed.");
  const text = gettext("You can close this tab: your place is kept for %(time)s.");
  return interpolate(text, { time: durationText(Math.round(seconds) * 1000) });
}

// --- who has not asked yet ---

// load: that of `chatstream:session`; wait: as `waitOf` has it. "" where a prompt begins at once.
export function loadText({ waiting, running, capacity }, service, wait) {
  const trouble = {
    away: () => gettext("No worker is running right now"),
    loading: () => gettext("The model is loading"),
    paused: () => gettext("The queue is paused"),
    draining: () => gettext("No new answers are begun right now"),
  }[service]?.();
  if (!trouble && !waiting && running < capacity) return "";
  const text = ngettext("%(count)s waits now", "%(count)s wait now", waiting);
  const many = waiting ? interpolate(text, { count: number(waiting) }) : "";
  const busy = !waiting && !trouble ? gettext("All places are taken") : "";
  return [trouble, many || busy, trouble ? "" : newcomerText(wait)].filter(Boolean).join(" · ");
}

function newcomerText(wait) {
  const time = etaText(wait);
  if (!time || time === soonText()) return time;
  return interpolate(gettext("a new prompt waits %(time)s"), { time });
}

// --- who looks elsewhere ---

export const turnTitle = () => gettext("Your answer begins");

export const readyTitle = () => gettext("Your answer is ready");

export const notAllowedText = () => gettext("Your browser does not allow notifications here.");
