// What the pages that draw have in common: server, pictures, the editor, keys, words for people, and unsaved work.

import { Editor } from "./draw_editor.js";
import { DrawingOutbox } from "./draw_outbox.js";
import { element } from "./elements.js";
import { Help } from "./help.js";
import { Outbox } from "./outbox.js";
import { Pictures } from "./pictures.js";
import { keepPreferences, readPreferences } from "./preferences.js";
import { Server } from "./server.js";
import { isTyping, pause } from "./page.js";

/** Waiting longer than this for an answer, one goes on: the mask is kept here and sent again. */
const PATIENCE_MS = 4_000;
const SAYING_MS = 6_000;

export class DrawPage {
  /** `label`: of the canvas; `keys`: groups for the card of keys. A page builds its header and its side. */
  constructor(data, parent, { label, keys }) {
    this.data = data;
    this.server = new Server(data.base, data.token);
    this.pictures = new Pictures(this.server);
    this.preferences = readPreferences();
    this.editor = new Editor({
      label,
      predict: (points) => this.predict(points),
      say: (text, kind) => this.say(text, kind),
      changed: () => this.refresh(),
      under: (...args) => this.paintUnder?.(...args),
      above: (...args) => this.paintAbove?.(...args),
      pick: (point, event) => this.pick?.(point, event),
      hover: (point) => this.hover?.(point),
    });
    this.editor.look = this.preferences;
    this.editor.stage.setContrast(this.preferences.contrast);
    this.saved = element("span", { class: "saved", role: "status", "data-pending": "0" });
    this.sam = element("span", { class: "sam", role: "status", "data-state": "off" });
    this.saying = element("div", { class: "saying", role: "status", "aria-live": "polite", hidden: true });
    this.message = element("div", { class: "message", hidden: true });
    this.help = new Help(() => this.focus(), keys);
    this.states = {};
    const show = (name) => (state) => this.showSaved(name, state);
    this.drawings = new DrawingOutbox(this.server, data.workspace, data.rater, show("drawings"));
    this.verdicts = new Outbox(this.server, data.workspace, data.rater, show("verdicts"));
    this.build(parent);
    this.listen();
    for (const outbox of [this.drawings, this.verdicts]) outbox.send();
  }

  listen() {
    const options = { capture: true };
    this.listeners = [
      [window, "keydown", (event) => this.keyDown(event), options],
      [window, "keyup", (event) => this.editor.keyUp(event), options],
      [document, "visibilitychange", () => this.visibility()],
      [window, "beforeunload", (event) => this.editor.isChanged && event.preventDefault()],
    ];
    for (const [target, event, listener, when] of this.listeners) target.addEventListener(event, listener, when);
  }

  close() {
    for (const [target, event, listener, when] of this.listeners) target.removeEventListener(event, listener, when);
    for (const part of [this.drawings, this.verdicts, this.editor.stage]) part.close();
  }

  /** A later run of the page brings a fresh token. */
  update(data) {
    this.server.token = data.token;
    for (const outbox of [this.drawings, this.verdicts]) outbox.send();
  }

  /** Put the page into Streamlit's; it takes the rest of the window's height. */
  place(parent) {
    parent.append(this.box);
    this.box.style.setProperty("--top", `${Math.round(this.box.getBoundingClientRect().top + window.scrollY)}px`);
  }

  focus() {
    this.editor.stage.box.focus({ preventScroll: true });
  }

  keyDown(event) {
    if (!this.box.isConnected || isTyping(event)) return;
    if (this.help.isOpen) {
      if (event.key === "?") this.help.close();
      return;
    }
    const isOnControl = event.composedPath()[0]?.matches?.("button, input, summary, a");
    if (isOnControl && (event.key === "Enter" || event.key === " " || event.key.startsWith("Arrow"))) return;
    if (event.key !== "Tab" && !this.act(event)) return;
    if (event.key === "Tab" && !this.tab(event)) return;
    // Streamlit has keys of its own: r runs the page anew.
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  /** Tab goes through the page's controls, unless a page has another use for it on its canvas. */
  tab() {
    return false;
  }

  /** What the key of a button would do. */
  press(key) {
    this.act(new KeyboardEvent("keydown", { key }));
    this.focus();
  }

  // -- time --------------------------------------------------------------------------------------

  startClock() {
    this.shownAt = performance.now();
    this.absentMs = 0;
  }

  get tookS() {
    return Math.max(0, (performance.now() - this.shownAt - this.absentMs) / 1000);
  }

  visibility() {
    if (document.hidden) this.hiddenAt = performance.now();
    else if (this.hiddenAt) this.absentMs += performance.now() - this.hiddenAt;
  }

  // -- SAM ---------------------------------------------------------------------------------------

  /** Let the server encode the picture, so that the first click is fast. */
  async prepareSam(imageId) {
    if (this.preparing === imageId) return;
    this.preparing = imageId;
    this.showSam("busy", "SAM gets ready …");
    try {
      const { model } = await this.server.post("review/prepare", { image: imageId });
      if (this.preparing === imageId) this.showSam("ready", `SAM ready · ${model}`);
    } catch (error) {
      if (this.preparing !== imageId) return;
      this.preparing = null; // asked again with the next mask
      this.showSam("off", "no SAM clicks", error.message);
    }
  }

  showSam(state, text, title = "") {
    this.sam.dataset.state = state;
    this.sam.textContent = text;
    this.sam.title = title;
  }

  async predict(points) {
    if (this.sam.dataset.state === "busy") this.say("SAM looks at the picture for the first time …");
    const { counts } = await this.server.post("review/clicks", { image: this.imageId, points });
    this.say(`SAM answered ${points.length} ${points.length === 1 ? "click" : "clicks"}`);
    return counts;
  }

  // -- saving ------------------------------------------------------------------------------------

  /**
   * The server's answer; null where it does not come in time: the mask is kept here and sent again, and `late(answer)`
   * is called when it is acknowledged after all. Throws where it is refused in time.
   */
  async saveDrawing(drawing, late) {
    const answered = this.drawings.save(drawing);
    const inTime = await Promise.race([answered, pause(PATIENCE_MS)]);
    if (inTime) return inTime;
    answered.then(late, (error) => this.say(`A kept mask was refused: ${error.message}`, "error"));
    return null;
  }

  showSaved(name, state) {
    this.states[name] = state;
    const { drawings, verdicts } = this.states;
    const pending = (drawings?.pending ?? 0) + (verdicts?.pending ?? 0);
    const problem = drawings?.problem ?? verdicts?.problem;
    const refused = verdicts?.refused ?? [];
    this.saved.dataset.pending = String(pending);
    this.saved.className = `saved ${pending ? "is-pending" : "is-saved"}`;
    this.saved.title = problem?.message ?? "";
    if (drawings?.refused) this.say(`A kept mask was refused: ${drawings.refused.reason}`, "error");
    if (refused.length) {
      this.saved.className = "saved is-refused";
      this.saved.textContent = `${refused.length} refused: ${refused.at(-1).reason}`;
    } else if (problem?.isSessionOver) {
      this.saved.className = "saved is-refused";
      this.saved.textContent = `${pending} kept here · ${problem.message}`;
    } else if (problem && pending) this.saved.textContent = `no connection · ${pending} kept here`;
    else this.saved.textContent = pending ? `saving ${pending}` : "all saved";
  }

  // -- words -------------------------------------------------------------------------------------

  /** A line over the canvas, which fades. `kind`: warn, error, good. */
  say(text, kind = "plain") {
    this.saying.textContent = text;
    this.saying.dataset.kind = kind;
    this.saying.hidden = !text;
    clearTimeout(this.sayingTimer);
    if (text && kind !== "error") this.sayingTimer = setTimeout(() => (this.saying.hidden = true), SAYING_MS);
  }

  /** Words in place of a picture; nothing takes them away. */
  tell(...children) {
    this.message.replaceChildren(...children);
    this.message.hidden = !children.length;
  }

  refresh() {
    keepPreferences(this.preferences);
    this.preferences.contrast = this.editor?.stage.contrast ?? this.preferences.contrast;
  }
}

/** A line above the stage, with what every page has at its end. */
export function header(page, ...children) {
  const keys = element("button", { type: "button", class: "keys", on: { click: () => page.help.toggle() } });
  keys.append("Keys", element("kbd", {}, "?"));
  return element(
    "header",
    { class: "status" },
    ...children,
    element("span", { class: "gap" }),
    page.sam,
    page.saved,
    element("span", { class: "rater" }, page.data.rater),
    keys,
  );
}

/** A slider with its keys and its value in words. */
export function slider({ label, keys, min, max, step, read, write }) {
  const value = element("output", {});
  const input = element("input", {
    type: "range", min, max, step, "aria-label": label, on: { input: () => write(Number(input.value)) },
  });
  const box = element(
    "label",
    { class: "slider" },
    element("span", {}, label, " ", ...keys.map((key) => element("kbd", { "aria-hidden": "true" }, key))),
    value,
    input,
  );
  const update = () => {
    const [number, words] = read();
    input.value = String(number);
    value.textContent = words;
  };
  return { box, update };
}
