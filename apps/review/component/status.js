// The line above the picture: sample, progress, what is saved, and what went wrong.

import { element } from "./elements.js";

export class Status {
  /** `samples`: [{sample, n_masks}]; `act` does what a key would do; `choose(sample)`. */
  constructor({ samples, sample, rater, mayAdjudicate, choose, act }) {
    this.sample = element("select", { "aria-label": "Sample", on: { change: () => choose(this.sample.value) } });
    for (const { sample: name } of samples) this.sample.append(element("option", { value: name }, name));
    this.sample.value = sample;
    this.bar = element("progress", { max: "1", value: "0", "aria-label": "Masks of the sample that are judged" });
    this.count = element("span", { class: "count" });
    this.mine = element("span", { class: "mine" });
    this.enough = element("span", { class: "enough", hidden: true });
    this.saved = element("span", { class: "saved", role: "status", "data-pending": "0" });
    this.adjudicates = element("input", { type: "checkbox", on: { change: () => act("adjudicates") } });
    this.box = element(
      "header",
      { class: "status" },
      this.sample,
      this.bar,
      this.count,
      this.mine,
      this.enough,
      element("span", { class: "gap" }),
      mayAdjudicate
        ? element("label", { class: "switch", title: "Decide first where raters disagree" }, this.adjudicates, "disagreements first")
        : null,
      this.saved,
      element("span", { class: "rater" }, rater),
      element("button", { type: "button", class: "keys", on: { click: () => act("help") } }, "Keys", element("kbd", {}, "?")),
    );
  }

  /** `nSince`: verdicts that the server did not know of when it counted. */
  showProgress(progress, nSince) {
    if (!progress) return;
    const { n_judged: judged, n_drawn: drawn, verdicts_per_hour: perHour, enough } = progress;
    const mine = progress.n_mine + nSince;
    this.bar.value = drawn ? judged / drawn : 0;
    this.count.textContent = `${judged} of ${drawn} masks judged`;
    const speed = perHour && mine >= 10 ? ` · ${Math.round(perHour)} an hour` : "";
    this.mine.textContent = `${mine} by you${speed}`;
    this.enough.hidden = !enough;
    this.enough.textContent = enough ?? "";
  }

  showSaved({ pending, refused, problem }) {
    this.saved.dataset.pending = String(pending);
    this.saved.className = `saved ${pending ? "is-pending" : "is-saved"}`;
    this.saved.title = "";
    if (refused.length) {
      this.saved.className = "saved is-refused";
      this.saved.textContent = `${refused.length} refused: ${refused.at(-1).reason}`;
      this.saved.title = refused.map(({ reason }) => reason).join("\n");
    } else if (problem?.isSessionOver) {
      this.saved.className = "saved is-refused";
      this.saved.textContent = `${pending} kept here · ${problem.message}`;
    } else if (problem && pending) {
      this.saved.textContent = `no connection · ${pending} kept here`;
      this.saved.title = problem.message;
    } else {
      this.saved.textContent = pending ? `saving ${pending}` : "all saved";
    }
  }
}
