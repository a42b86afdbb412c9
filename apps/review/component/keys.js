// Every key and what it does: the page listens by this table, and `?` shows it.

export const DECISIONS = [
  { name: "accept", key: "a", label: "Accept", about: "good as it is" },
  { name: "fix", key: "f", label: "Fix", about: "right object, outline to mend" },
  { name: "reject", key: "r", label: "Reject", about: "no object, or beyond repair" },
  { name: "unsure", key: "u", label: "Unsure", about: "cannot tell" },
  { name: "skip", key: "s", label: "Skip", about: "not judged" },
];

/** SAM's scale (appendix E), and the decision that a rating stands for. */
export const RATINGS = [
  { from: 1, to: 1, about: "no object", decision: "reject" },
  { from: 2, to: 4, about: "huge errors", decision: "fix" },
  { from: 5, to: 6, about: "major errors", decision: "fix" },
  { from: 7, to: 9, about: "minor errors", decision: "accept" },
  { from: 10, to: 10, about: "no errors", decision: "accept" },
];

/** Keys of the reasons, in their order: the row of digits, by place, so that every keyboard layout has them. */
export const REASON_KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "0", "-", "="];
const CODES = { Minus: "-", Equal: "=", NumpadSubtract: "-" };

export const GROUPS = [
  {
    title: "Judge",
    keys: [
      ...DECISIONS.map(({ key, label, about }) => ({ keys: [key], says: `${label}: ${about}` })),
      { keys: ["R", "F"], says: "Reject, fix at once, without asking why" },
      { keys: ["1 … ="], says: "Reason, by its number; with Shift, one of several" },
      { keys: ["Enter"], says: "Give the verdict without a reason" },
      { keys: ["z"], says: "Back to the last mask, to judge it anew" },
      { keys: ["Backspace"], says: "There: take its verdict back" },
      { keys: ["Escape"], says: "There: leave it as it was; cancel" },
      { keys: ["n"], says: "Write a note (Enter ends it)" },
    ],
  },
  {
    title: "Look",
    keys: [
      { keys: ["e"], says: "Zoom to the mask, and back" },
      { keys: ["Space"], says: "Hold: hide the mask" },
      { keys: ["v", "V"], says: "Next, previous of the five views" },
      { keys: ["+", "−"], says: "Zoom (or wheel)" },
      { keys: ["← ↑ ↓ →"], says: "Move (or drag)" },
      { keys: ["x"], says: "Fit again (or double click)" },
      { keys: ["o"], says: "Outline, fill, both" },
      { keys: [",", "."], says: "Fill fainter, stronger" },
      { keys: ["c"], says: "Contrast of the picture" },
      { keys: ["k"], says: "Colour of the mask" },
    ],
  },
  {
    title: "Work",
    keys: [
      { keys: ["m"], says: "Decide, or rate with 1 to 9 and 0 for 10" },
      { keys: ["w"], says: "Ask why after reject and fix, or go on at once" },
      { keys: ["?"], says: "These keys" },
    ],
  },
];

const SIMPLE = new Map([
  ...DECISIONS.map(({ key, name }) => [key, ["decide", name]]),
  ["R", ["decideAtOnce", "reject"]],
  ["F", ["decideAtOnce", "fix"]],
  ["z", ["undo"]],
  ["n", ["note"]],
  ["Enter", ["confirm"]],
  ["Escape", ["cancel"]],
  ["Backspace", ["withdraw"]],
  ["Delete", ["withdraw"]],
  ["e", ["near"]],
  [" ", ["peek"]],
  ["v", ["view", 1]],
  ["V", ["view", -1]],
  ["+", ["zoom", 1.25]],
  ["-", ["zoom", 0.8]],
  ["=", ["zoom", 1.25]],
  ["ArrowLeft", ["pan", 1, 0]],
  ["ArrowRight", ["pan", -1, 0]],
  ["ArrowUp", ["pan", 0, 1]],
  ["ArrowDown", ["pan", 0, -1]],
  ["x", ["fit"]],
  ["o", ["style"]],
  [",", ["opacity", -0.1]],
  [".", ["opacity", 0.1]],
  ["c", ["contrast"]],
  ["k", ["colour"]],
  ["m", ["mode"]],
  ["w", ["asksWhy"]],
  ["?", ["help"]],
]);

/**
 * What a key does: [action, …arguments], or null. `rates`: digits rate the mask; `nReasons`: keys of reasons that count.
 * With `isAsking` the row of digits names reasons, `-` and `=` too.
 */
export function actionOf(event, { rates, isAsking, nReasons }) {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  const place = placeOf(event);
  const isDigit = place !== null && place >= "0" && place <= "9";
  const reason = place === null ? -1 : REASON_KEYS.indexOf(place);
  if (rates && !isAsking && isDigit) return ["rate", place === "0" ? 10 : Number(place)];
  if (reason >= 0 && reason < nReasons && !event.shiftKey && (isAsking || isDigit)) return ["reason", reason];
  if (reason >= 0 && reason < nReasons && event.shiftKey && isAsking) return ["addReason", reason];
  return SIMPLE.get(letterOf(event)) ?? null;
}

/** The key; a letter by the shift key alone, whatever Caps Lock says. */
function letterOf({ key, shiftKey }) {
  if (!/^[a-z]$/i.test(key)) return key;
  return shiftKey ? key.toUpperCase() : key.toLowerCase();
}

/** The key of the row of digits, by its place on the keyboard. */
function placeOf(event) {
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code ?? "");
  return digit ? digit[1] : (CODES[event.code] ?? null);
}
