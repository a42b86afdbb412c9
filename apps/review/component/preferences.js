// What a reviewer chose of looks and ways of working: kept in the browser, for the next time.

import { COLOURS } from "./views.js";

const KEY = "curation/preferences";
const DEFAULTS = {
  colour: COLOURS[0],
  style: "both",
  opacity: 0.35,
  contrast: 1,
  view: "overlay",
  rates: false,
  asksWhy: true,
};

export function readPreferences() {
  try {
    return { ...DEFAULTS, ...JSON.parse(localStorage.getItem(KEY) ?? "{}") };
  } catch {
    return { ...DEFAULTS }; // somebody else's text under our key
  }
}

export function keepPreferences(preferences) {
  localStorage.setItem(KEY, JSON.stringify(preferences));
}

/** What follows `value` in a list, and after the last the first. */
export function next(list, value, step = 1) {
  return list[(list.indexOf(value) + step + list.length) % list.length];
}
