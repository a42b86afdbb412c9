// The tools by name: their keys, their pictures, and what they do, as the rail and the help show them.

import { element } from "./elements.js";

/** `tool` is the name under which a mask's row tells that it was used. */
export const TOOLS = [
  { name: "brush", tool: "brush", key: "b", label: "Brush", about: "paint; right button erases" },
  { name: "eraser", tool: "eraser", key: "e", label: "Eraser", about: "take away; right button paints" },
  { name: "polygon", tool: "polygon", key: "p", label: "Polygon +", about: "click corners, Enter adds what is inside" },
  { name: "cut", tool: "polygon", key: "P", label: "Polygon −", about: "click corners, Enter cuts what is inside" },
  { name: "fill_hole", tool: "fill_hole", key: "h", label: "Fill hole", about: "click into a hole" },
  { name: "drop_component", tool: "drop_component", key: "d", label: "Drop piece", about: "click on a piece" },
  { name: "sam", tool: "sam", key: "s", label: "SAM click", about: "click: object; Shift or right: not it" },
];

/** A key as people read it. */
function shown(key) {
  return key === "P" ? "⇧P" : key;
}

/** What a prediction does to the mask; `m` goes round. */
export const HOWS = [
  { name: "replace", label: "replaces the mask" },
  { name: "add", label: "is added" },
  { name: "subtract", label: "is cut out" },
];

export const KEYS = [
  {
    title: "Tools",
    keys: [
      ...TOOLS.map(({ key, label, about }) => ({ keys: [shown(key)], says: `${label}: ${about}` })),
      { keys: ["[", "]"], says: "Brush smaller, larger (or Shift + wheel)" },
      { keys: ["m"], says: "SAM: its mask replaces, is added, is cut out" },
      { keys: ["n"], says: "SAM: keep what is there, click the next object" },
      { keys: ["z", "y"], says: "Undo, redo (also Ctrl+Z, Ctrl+Y)" },
      { keys: ["Escape"], says: "Leave the polygon or the clicks" },
      { keys: ["← ↑ ↓ →"], says: "Move a cursor (Shift: far); Space presses, held it draws" },
    ],
  },
  {
    title: "Look",
    keys: [
      { keys: ["f"], says: "Zoom to the mask" },
      { keys: ["x"], says: "Whole picture" },
      { keys: ["1"], says: "Actual size" },
      { keys: ["+", "−"], says: "Zoom (or wheel)" },
      { keys: ["Space"], says: "Hold and drag: move the picture (or middle button)" },
      { keys: ["q"], says: "Hold: hide the mask" },
      { keys: ["w"], says: "Outline of the old mask" },
      { keys: ["o"], says: "Outline, fill, both" },
      { keys: [",", "."], says: "Fill fainter, stronger" },
      { keys: ["c", "k"], says: "Contrast of the picture, colour of the mask" },
    ],
  },
];

// Drawn in a box of 24 x 24, in lines.
const ICONS = {
  brush: "M4 20c3 0 5-1 5-4 0-1.6-1.2-2.6-2.6-2.6C4.6 13.4 4 15 4 16.6 4 18 3.5 19.2 2.5 20zM9.5 13.5 19 4c1-1 2.8.7 1.8 1.8L11.3 15.3",
  eraser: "M8.5 19.5 3.5 14.5 13.5 4.5l6.5 6.5-8.5 8.5zM8.5 9.5l6.5 6.5M8.5 19.5H20",
  polygon: "M5 8 12 4l7 6-3 9H7zM19 17v5M16.5 19.5h5",
  cut: "M5 8 12 4l7 6-3 9H7zM16.5 20h5",
  fill_hole: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM12 9.5v5M9.5 12h5",
  drop_component: "M9 4a5 5 0 1 0 0 10A5 5 0 0 0 9 4zM15.5 15.5l5 5M20.5 15.5l-5 5",
  sam: "M6 3.5 18 12l-5.5 1L16 19.5l-2.5 1.3L10 14.5 6 18z",
  undo: "M8 5 4 9l4 4M4 9h9a6 6 0 0 1 0 12H9",
  redo: "m16 5 4 4-4 4M20 9h-9a6 6 0 0 0 0 12h4",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** The rail of tools: `press(key)` is what each button does, as its key would. */
export function rail(press) {
  const button = (name, key, label, about) =>
    element(
      "button",
      {
        type: "button", class: "instrument", "data-tool": name, title: `${label}: ${about}`, "aria-keyshortcuts": key,
        "aria-label": label, on: { click: () => press(key) },
      },
      icon(name),
      element("span", { class: "label", "aria-hidden": "true" }, label),
      element("kbd", { "aria-hidden": "true" }, shown(key)),
    );
  return element(
    "div",
    { class: "toolrail", role: "toolbar", "aria-label": "Tools", "aria-orientation": "vertical" },
    ...TOOLS.map(({ name, key, label, about }) => button(name, key, label, about)),
    element("hr"),
    button("undo", "z", "Undo", "take the last action back"),
    button("redo", "y", "Redo", "do it again"),
  );
}
