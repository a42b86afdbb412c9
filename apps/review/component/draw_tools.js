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
      ...TOOLS.map(({ key, label, about }) => ({ keys: [key], says: `${label}: ${about}` })),
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
  brush: "M4 20c3 0 5-1 5-4 0-1.6-1.2-2.6-2.6-2.6C4.6 13.4 4 15 4 16.600 4 18 3.500 19.200 2.500 20zM9.500 13.500 19 4c1-1 2.800.7 1.800 1.800L11.300 15.300",
  eraser: "M8.500 19.500 3.500 14.500 13.500 4.500l6.500 6.500-8.500 8.500zM8.500 9.500l6.500 6.500M8.500 19.500H20",
  polygon: "M5 8 12 4l7 6-3 9H7zM19 17v5M16.500 19.500h5",
  cut: "M5 8 12 4l7 6-3 9H7zM16.500 20h5",
  fill_hole: "M12 3.500a8.500 8.500 0 1 0 0 17 8.500 8.500 0 0 0 0-17zM12 9.500v5M9.500 12h5",
  drop_component: "M9 4a5 5 0 1 0 0 10A5 5 0 0 0 9 4zM15.500 15.500l5 5M20.500 15.500l-5 5",
  sam: "M6 3.500 18 12l-5.500 1L16 19.500l-2.500 1.300L10 14.500 6 18z",
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
        type: "button", class: "tool", "data-tool": name, title: `${label}: ${about}`, "aria-keyshortcuts": key,
        "aria-label": label, on: { click: () => press(key) },
      },
      icon(name),
      element("span", { class: "label", "aria-hidden": "true" }, label),
      element("kbd", { "aria-hidden": "true" }, key === "P" ? "⇧P" : key),
    );
  return element(
    "div",
    { class: "rail", role: "toolbar", "aria-label": "Tools", "aria-orientation": "vertical" },
    ...TOOLS.map(({ name, key, label, about }) => button(name, key, label, about)),
    element("hr"),
    button("undo", "z", "Undo", "take the last action back"),
    button("redo", "y", "Redo", "do it again"),
  );
}
