// The panel beside the picture: decisions or ratings, reasons, note.

import { element, keyButton, words } from "./elements.js";
import { DECISIONS, RATINGS, REASON_KEYS } from "./keys.js";

const HINTS = ["choose with numbers, or decide first", "asked for after ratings under 7"];

export class Panel {
  /** `act(name, ...arguments)` does what a key would do. */
  constructor(reasons, act) {
    this.reasons = reasons;
    this.modes = element("div", { class: "modes", role: "group", "aria-label": "Way of judging" });
    this.modes.append(
      modeButton("Decide", () => act("setRates", false)),
      modeButton("Rate 1–10", () => act("setRates", true)),
    );
    this.decisions = element("div", { class: "decisions", role: "group", "aria-label": "Decision" });
    this.decisions.append(...DECISIONS.map((decision) => decisionButton(decision, act)));
    this.ratings = element("div", { class: "ratings", role: "group", "aria-label": "Rating" });
    this.ratings.append(...RATINGS.map((band) => ratingBand(band, act)));
    this.why = element("h2", {}, "Reasons");
    this.hint = element("p", { class: "hint" });
    this.list = element("div", { class: "reasons", role: "group", "aria-label": "Reasons" });
    this.list.append(...reasons.map((reason, index) => reasonButton(reason, index, act)));
    this.asksWhy = element("input", { type: "checkbox", on: { change: () => act("asksWhy") } });
    this.note = element("textarea", {
      rows: "1",
      maxlength: "4000",
      "aria-label": "Note",
      placeholder: "Note (n)",
      on: { keydown: (event) => endNote(event, act) },
    });
    this.box = element(
      "aside",
      { class: "panel", "aria-label": "Judge this mask" },
      this.modes,
      this.decisions,
      this.ratings,
      element(
        "div",
        { class: "why" },
        this.why,
        element("label", { class: "switch", title: "Ask why after reject and fix (w)" }, this.asksWhy, "ask why"),
      ),
      this.hint,
      this.list,
      this.note,
    );
  }

  /** Show the state of the page. `said`: the decision and the rating that a verdict under revision has. */
  update({ rates, asksWhy, asking, chosen, said, isReady }) {
    const [decide, rate] = this.modes.children;
    decide.setAttribute("aria-pressed", String(!rates));
    rate.setAttribute("aria-pressed", String(rates));
    this.ratings.hidden = !rates;
    this.decisions.classList.toggle("is-small", rates);
    this.asksWhy.checked = asksWhy;
    for (const button of this.decisions.children) {
      const name = button.dataset.decision;
      button.classList.toggle("is-asked", asking?.decision === name);
      button.setAttribute("aria-pressed", String(said?.decision === name));
    }
    for (const button of this.ratings.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(said?.rating === Number(button.dataset.rating)));
    }
    this.reasons.forEach((reason, index) => {
      this.list.children[index].setAttribute("aria-pressed", String(chosen.has(reason)));
    });
    this.box.classList.toggle("is-asking", Boolean(asking));
    this.why.textContent = asking ? `Why ${asking.decision}?` : "Reasons";
    this.hint.textContent = asking ? "number: this reason · Enter: none · Esc: back" : HINTS[Number(rates)];
    for (const button of this.box.querySelectorAll("button")) button.disabled = !isReady;
    this.modes.querySelectorAll("button").forEach((button) => (button.disabled = false));
  }

  get noteText() {
    return this.note.value.trim();
  }

  set noteText(text) {
    this.note.value = text ?? "";
  }
}

function modeButton(label, action) {
  return element("button", { type: "button", on: { click: action } }, label);
}

function decisionButton({ name, key, label, about }, act) {
  const action = () => act("decide", name);
  return keyButton({ label, key, action, class: `decision is-${name}`, title: about, "data-decision": name });
}

function ratingBand({ from, to, about }, act) {
  const band = element("div", { class: `band band-${from}` }, element("span", { class: "about" }, about));
  const buttons = element("div", { class: "buttons" });
  for (let rating = from; rating <= to; rating += 1) {
    const attributes = { type: "button", "data-rating": rating, "aria-label": `${rating}: ${about}` };
    buttons.append(element("button", { ...attributes, on: { click: () => act("rate", rating) } }, String(rating)));
  }
  band.prepend(buttons);
  return band;
}

function reasonButton(reason, index, act) {
  const key = REASON_KEYS[index] ?? "";
  return keyButton({ label: words(reason), key, action: () => act("reason", index), class: "reason" });
}

function endNote(event, act) {
  if (event.key === "Escape" || (event.key === "Enter" && !event.shiftKey)) {
    event.preventDefault();
    act("focus");
  }
}
