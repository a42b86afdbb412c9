// The Review view: one mask at a time, judged with the keyboard. This module holds what is shown and what is done;
// the others fetch, paint, and build their part of the page.

import { element, keyButton } from "./elements.js";
import { Help } from "./help.js";
import { actionOf, RATINGS } from "./keys.js";
import { Outbox } from "./outbox.js";
import { Panel } from "./panel.js";
import { Pictures } from "./pictures.js";
import { keepPreferences, next, readPreferences } from "./preferences.js";
import { Refusal, Server } from "./server.js";
import { Stage } from "./stage.js";
import { Status } from "./status.js";
import { Tasks, trace } from "./tasks.js";
import { COLOURS, CONTRASTS, STYLES, VIEWS } from "./views.js";

const BREAK_S = 60;
/** A longer look at one mask counts as an absence, not as work that tires. */
const LONGEST_LOOK_S = 120;
const HEARTBEAT_MS = 60_000;
/** A picture that did not come for want of a connection is asked for again. */
const RETRY_MS = 3_000;
/** Decisions that are asked why. */
const FLAWED = ["reject", "fix"];
const mounted = new WeakMap();

/** What Streamlit calls at every run of the page: the first mounts the view, later ones tell it what changed. */
export function mount({ data, parentElement, setStateValue }) {
  let review = mounted.get(parentElement);
  if (review && review.data.rater === data.rater) {
    review.update(data);
  } else {
    review?.close();
    review?.box.remove();
    mounted.set(parentElement, (review = new Review(data, parentElement, setStateValue)));
  }
  // Streamlit also calls this when a later run overtakes the first; then the view is still there.
  return () => setTimeout(() => review.box.isConnected || review.close());
}

class Review {
  constructor(data, parent, setStateValue) {
    this.data = data;
    this.setStateValue = setStateValue;
    this.preferences = readPreferences();
    this.server = new Server(data.base, data.token);
    this.pictures = new Pictures(this.server);
    this.current = null; // the task that is shown, or whose picture is awaited
    this.revised = null; // its {task, verdict} where it was judged before
    this.asking = null; // {decision, rating} that waits for its reason
    this.chosen = new Set();
    this.workedS = 0;
    this.ended = new Set(); // samples of which nothing was left here
    this.nSince = 0; // verdicts given since the server last counted
    this.build(parent);
    this.outbox = new Outbox(this.server, data.workspace, data.rater, (state) => this.status.showSaved(state));
    this.listen();
    this.outbox.send();
    this.start(data.sample);
    this.box.focus({ preventScroll: true });
  }

  build(parent) {
    const act = (name, ...rest) => this.act(name, rest, performance.now());
    const choose = (sample) => this.chooseSample(sample);
    this.status = new Status({ ...this.data, mayAdjudicate: this.data.may_adjudicate, choose, act });
    this.stage = new Stage((name) => act("show", name), act);
    this.panel = new Panel(this.data.reasons, act);
    this.help = new Help(() => this.box.focus({ preventScroll: true }));
    this.live = element("div", { class: "unseen", role: "status", "aria-live": "polite" });
    this.box = element(
      "section",
      { class: "review", tabindex: "0", "aria-label": "Review masks; press ? for all keys" },
      this.status.box,
      element("div", { class: "desk" }, this.stage.rail, this.stage.box, this.panel.box),
      this.help.box,
      this.live,
    );
    parent.append(this.box);
    this.fitHeight();
  }

  /** The view ends where the window ends, whatever stands above it. */
  fitHeight() {
    this.box.style.setProperty("--top", `${Math.round(this.box.getBoundingClientRect().top + window.scrollY)}px`);
  }

  listen() {
    const options = { capture: true };
    this.listeners = [
      [window, "keydown", (event) => this.keyDown(event), options],
      [window, "keyup", (event) => event.key === " " && this.peek(false), options],
      [window, "blur", () => this.peek(false)],
      [window, "resize", () => this.fitHeight()],
      [document, "visibilitychange", () => this.visibility()],
    ];
    for (const [target, event, listener, when] of this.listeners) target.addEventListener(event, listener, when);
    this.heartbeat = setInterval(() => this.beat(), HEARTBEAT_MS);
  }

  /** A later run of the page: a fresh token, perhaps another sample. */
  update(data) {
    this.server.token = data.token;
    const isOther = data.sample !== this.data.sample;
    this.data = data;
    if (isOther) this.start(data.sample);
    this.outbox.send();
  }

  close() {
    for (const [target, event, listener, when] of this.listeners) target.removeEventListener(event, listener, when);
    clearInterval(this.heartbeat);
    clearInterval(this.pause);
    this.tasks.close();
    this.outbox.close();
    this.stage.close();
  }

  // -- samples and tasks -------------------------------------------------------------------------

  start(sample) {
    this.tasks?.close();
    this.tasks = new Tasks(this.server, this.pictures, {
      sample,
      atOnce: this.data.at_once,
      leaseS: this.data.lease_s,
      adjudicates: this.status.adjudicates.checked,
      pending: () => this.outbox.pending,
      changed: (tasks) => this.tasksChanged(tasks),
    });
    this.leave();
    this.status.sample.value = sample;
    this.stage.say(element("p", {}, "Fetching masks …"));
    this.tasks.fill();
  }

  chooseSample(sample) {
    this.release();
    this.data = { ...this.data, sample };
    this.setStateValue("sample", sample);
    this.start(sample);
    this.box.focus({ preventScroll: true });
  }

  /** Masks that this page holds go to others at once. */
  release() {
    const sample = this.data.sample;
    this.server.post("review/release", { sample }).catch((error) => this.announce(error.message));
  }

  tasksChanged(tasks) {
    if (tasks !== this.tasks) return;
    if (tasks.progress !== this.progress) {
      this.progress = tasks.progress;
      this.nSince = this.outbox.pending.length;
    }
    this.status.showProgress(tasks.progress, this.nSince);
    if (!this.current) this.next();
  }

  next(since = null) {
    const task = this.tasks.take();
    if (task) this.show(task, since);
    else this.wait();
  }

  /** Nothing to show: fetching, done, or an error. */
  wait() {
    this.leave();
    const { problem, isDone } = this.tasks;
    if (problem) this.stage.say(element("h2", {}, "No masks"), element("p", {}, problem.message));
    else if (isDone) {
      this.ended.add(this.data.sample);
      const other = this.other;
      this.stage.say(
        element("h2", {}, "Nothing left to judge"),
        element("p", {}, "All masks of this sample are judged, or with others. What others give back comes here."),
        other && keyButton({ label: `Go on with ${other}`, key: "↵", action: () => this.chooseSample(other) }),
      );
      this.announce(other ? `Nothing left to judge; Enter goes on with ${other}` : "Nothing left to judge");
    } else this.stage.say(element("p", {}, "Fetching masks …"));
    this.refresh();
  }

  /** A sample to go on with: the first that had masks for this rater when the page was opened. */
  get other() {
    return this.data.samples.find(({ sample, is_done }) => !is_done && !this.ended.has(sample))?.sample;
  }

  leave() {
    this.current = null;
    this.isShown = false;
    this.revised = null;
    this.asking = null;
    this.chosen = new Set();
    this.panel.noteText = "";
    this.stage.blank();
    this.stage.note(null);
    this.refresh();
  }

  /** Show a task as soon as its picture is here; `since`: when the key was pressed that leads to it. */
  async show(task, since = null) {
    this.current = task;
    this.asking = null;
    this.revised = task.entry ?? null;
    this.chosen = new Set(this.revised?.verdict.reasons);
    this.panel.noteText = this.revised?.verdict.note;
    this.isShown = false;
    try {
      this.paint(task, this.pictures.now(task.image) ?? (await this.awaited(task)), since);
    } catch (error) {
      if (this.current === task) this.cannotShow(task, error);
    }
  }

  awaited(task) {
    this.stage.blank();
    this.stage.say(element("p", {}, "Loading the picture …"));
    this.refresh();
    return this.pictures.get(task.image);
  }

  paint(task, picture, since) {
    if (this.current !== task || this.isShown) return;
    trace(task);
    this.stage.say();
    this.stage.show({ task, picture }, this.preferences);
    this.stage.note(this.revised ? `You said ${said(this.revised.verdict)}. Judge anew, or Esc to leave it.` : null);
    this.isShown = true;
    this.shownAt = performance.now();
    this.absentMs = 0;
    this.refresh();
    this.announce(`${task.is_small ? "Small mask. " : ""}Mask shown`);
    if (since !== null) measureFrame(since);
  }

  cannotShow(task, error) {
    if (!(error instanceof Refusal)) setTimeout(() => this.tryAgain(task), RETRY_MS);
    this.stage.blank();
    this.stage.say(
      element("h2", {}, "The picture cannot be shown"),
      element("p", {}, error.message),
      element("p", {}, "Enter tries again, s skips the mask."),
    );
    this.announce(`The picture cannot be shown: ${error.message}`);
    this.shownAt = performance.now();
    this.absentMs = 0;
    this.refresh();
  }

  /** Show a task whose picture did not come, if it still waits for it. */
  tryAgain(task) {
    if (this.current === task && !this.isShown && this.box.isConnected) this.show(task);
  }

  // -- verdicts ----------------------------------------------------------------------------------

  decide(decision, since, { rating = null, atOnce = false } = {}) {
    if (!this.current || this.isOnBreak) return;
    if (!this.isShown && decision !== "skip") {
      this.announce("The picture is not here yet");
      return;
    }
    const isSecondPress = this.asking?.decision === decision;
    const asks = FLAWED.includes(decision) && this.preferences.asksWhy && !this.chosen.size;
    if (asks && !atOnce && !isSecondPress) {
      this.asking = { decision, rating };
      this.refresh();
      this.announce(`Why ${decision}?`);
      return;
    }
    this.give(decision, rating, since);
  }

  give(decision, rating, since) {
    const task = this.current;
    const verdict = {
      verdict_id: uuid(),
      task_id: task.task_id,
      decision,
      rating,
      reasons: [...this.chosen],
      note: this.panel.noteText || null,
      replaces: null, // the server replaces what this rater said of the mask before
      took_s: Math.max(0, (performance.now() - this.shownAt - this.absentMs) / 1000),
      given_at: new Date().toISOString(),
    };
    this.outbox.add(verdict);
    if (!this.revised) this.status.showProgress(this.tasks.progress, (this.nSince += 1));
    this.tasks.remember(task, verdict);
    this.announce(said(verdict));
    this.flash(decision);
    this.workedS += Math.min(verdict.took_s, LONGEST_LOOK_S);
    this.next(since);
    if (this.data.break_after_min > 0 && this.workedS >= 60 * this.data.break_after_min) this.takeBreak();
  }

  undo() {
    if (this.asking) return this.cancel();
    const entry = this.tasks.past.pop();
    if (!entry) return this.announce("Nothing to go back to");
    if (this.current) this.tasks.putBack(Object.assign(this.current, { entry: this.revised }));
    this.show(Object.assign(entry.task, { entry }));
    return undefined;
  }

  withdraw(since) {
    if (!this.revised) return this.announce("Go back to a judged mask first (z)");
    const { task, verdict } = this.revised;
    this.outbox.add({
      verdict_id: uuid(),
      task_id: task.task_id,
      decision: "withdrawn",
      rating: null,
      reasons: [],
      note: null,
      replaces: verdict.verdict_id,
      took_s: 0,
      given_at: new Date().toISOString(),
    });
    task.entry = null;
    this.show(task, since);
    this.announce("Taken back; judge it anew");
    return undefined;
  }

  /** Leave a question, or a verdict under revision as it was. */
  cancel() {
    if (this.asking) {
      this.asking = null;
      this.refresh();
    } else if (this.revised) {
      const { task, verdict } = this.revised;
      this.tasks.remember(task, verdict);
      this.next();
    }
  }

  confirm(since) {
    if (this.isOnBreak) this.endBreak();
    else if (this.asking) this.give(this.asking.decision, this.asking.rating, since);
    else if (this.current) this.tryAgain(this.current);
    else if (this.tasks.isDone && this.other) this.chooseSample(this.other);
  }

  reason(index, since) {
    const reason = this.data.reasons[index];
    if (!this.current || !reason) return;
    if (this.asking) {
      this.chosen.add(reason);
      this.give(this.asking.decision, this.asking.rating, since);
    } else this.addReason(index);
  }

  addReason(index) {
    const reason = this.data.reasons[index];
    if (!this.chosen.delete(reason)) this.chosen.add(reason);
    this.refresh();
  }

  rate(rating, since) {
    const band = RATINGS.find(({ from, to }) => from <= rating && rating <= to);
    this.decide(band.decision, since, { rating });
  }

  // -- keys --------------------------------------------------------------------------------------

  keyDown(event) {
    if (!this.box.isConnected || isTyping(event)) return;
    if (this.help.isOpen) {
      if (event.key === "?") this.help.close();
      return;
    }
    const isOnControl = event.composedPath()[0]?.matches?.("button, input, summary, a");
    if (isOnControl && (event.key === "Enter" || event.key === " ")) return;
    const { rates } = this.preferences;
    const context = { rates, isAsking: Boolean(this.asking), nReasons: this.data.reasons.length };
    const found = actionOf(event, context);
    if (!found) return;
    // Streamlit has keys of its own: r runs the page anew.
    event.preventDefault();
    event.stopImmediatePropagation();
    const [name, ...rest] = found;
    if (event.repeat && !REPEATABLE.has(name)) return;
    this.act(name, rest, event.timeStamp);
  }

  act(name, rest, since = performance.now()) {
    ACTIONS[name](this, rest, since);
  }

  /** Change what the reviewer prefers, keep it, and paint anew. */
  prefer(changes) {
    Object.assign(this.preferences, changes);
    keepPreferences(this.preferences);
    this.refresh();
    this.stage.paint(this.preferences);
  }

  look(name) {
    const isSameFrame = this.stage.scene && VIEWS.find((v) => v.name === name).near === this.stage.view.near;
    if (!isSameFrame) this.stage.transform = null;
    this.prefer({ view: name });
    this.announce(this.stage.view.title);
  }

  peek(hides) {
    if (hides === this.isPeeking) return;
    this.isPeeking = hides;
    if (this.stage.scene) this.stage.paint(this.preferences, hides);
  }

  // -- time --------------------------------------------------------------------------------------

  visibility() {
    if (document.hidden) this.hiddenAt = performance.now();
    else if (this.hiddenAt) this.absentMs += performance.now() - this.hiddenAt;
  }

  beat() {
    const isAtWork = !document.hidden && performance.now() - (this.shownAt ?? 0) < 1000 * this.data.lease_s;
    if (isAtWork) this.tasks.renew().catch((error) => this.announce(error.message));
  }

  takeBreak() {
    this.isOnBreak = true;
    this.breakLeftS = BREAK_S;
    this.workedS = 0;
    const showLeft = () => {
      const goOn = element("button", { type: "button", on: { click: () => this.endBreak() } }, "Go on (Enter)");
      this.stage.say(
        element("h2", {}, "Time for a pause"),
        element("p", {}, "Look away from the screen for a while; the masks wait."),
        this.breakLeftS > 0 ? element("p", { class: "clock" }, `${this.breakLeftS} s`) : goOn,
      );
      if (this.breakLeftS <= 0) clearInterval(this.pause);
      this.breakLeftS -= 1;
    };
    showLeft();
    this.pause = setInterval(showLeft, 1000);
    this.announce("Time for a pause");
    this.refresh();
  }

  endBreak() {
    if (!this.isOnBreak || this.breakLeftS >= 0) return;
    this.isOnBreak = false;
    clearInterval(this.pause);
    if (this.current) this.show(this.current);
    else this.next();
  }

  // -- what is seen and heard --------------------------------------------------------------------

  refresh() {
    const { rates, asksWhy } = this.preferences;
    this.panel.update({
      rates,
      asksWhy,
      asking: this.asking,
      chosen: this.chosen,
      said: this.revised?.verdict,
      isReady: Boolean(this.current) && !this.isOnBreak,
    });
    this.box.dataset.task = this.isShown && this.current ? this.current.task_id : "";
  }

  announce(text) {
    this.live.textContent = text;
  }

  /** A short sign at the picture's edge of what was decided. */
  flash(decision) {
    this.stage.box.dataset.decision = "";
    requestAnimationFrame(() => (this.stage.box.dataset.decision = decision));
  }
}

const REPEATABLE = new Set(["pan", "zoom", "opacity"]);

/** What each action of the table of keys does. */
const ACTIONS = {
  decide: (review, [decision], since) => review.decide(decision, since),
  decideAtOnce: (review, [decision], since) => review.decide(decision, since, { atOnce: true }),
  rate: (review, [rating], since) => review.rate(rating, since),
  reason: (review, [index], since) => review.reason(index, since),
  addReason: (review, [index]) => review.addReason(index),
  confirm: (review, _, since) => review.confirm(since),
  cancel: (review) => review.cancel(),
  undo: (review) => review.undo(),
  withdraw: (review, _, since) => review.withdraw(since),
  note: (review) => review.panel.note.focus(),
  focus: (review) => review.box.focus({ preventScroll: true }),
  near: (review) => review.look(counterpart(review.stage.view)),
  peek: (review) => review.peek(true),
  show: (review, [name]) => review.look(name),
  view: (review, [step]) => review.look(next(VIEWS, review.stage.view, step).name),
  zoom: (review, [factor]) => review.stage.zoom(factor),
  pan: (review, [x, y]) => review.stage.step(x, y),
  fit: (review) => review.stage.fit(),
  style: (review) => review.prefer({ style: next(STYLES, review.preferences.style) }),
  opacity: (review, [step]) =>
    review.prefer({ opacity: Math.min(1, Math.max(0.05, review.preferences.opacity + step)), style: withFill(review) }),
  contrast: (review) => review.prefer({ contrast: next(CONTRASTS, review.preferences.contrast) }),
  colour: (review) => review.prefer({ colour: next(COLOURS, review.preferences.colour) }),
  mode: (review) => review.prefer({ rates: !review.preferences.rates }),
  setRates: (review, [rates]) => review.prefer({ rates }),
  asksWhy: (review) => review.prefer({ asksWhy: !review.preferences.asksWhy }),
  adjudicates: (review) => review.start(review.data.sample),
  help: (review) => review.help.toggle(),
};

/** The zoomed view of a whole one, and the other way round. */
function counterpart(view) {
  const name = view.near ? view.name.replace("near-", "") : `near-${view.name}`;
  return VIEWS.some((other) => other.name === name) ? name : "near-overlay";
}

function withFill(review) {
  return review.preferences.style === "outline" ? "both" : review.preferences.style;
}

function said({ decision, rating, reasons }) {
  const parts = [rating === null ? decision : `${decision}, ${rating} of 10`, ...reasons.map((r) => r.replaceAll("_", " "))];
  return parts.join(" · ");
}

function isTyping(event) {
  const target = event.composedPath()[0];
  const fields = "input:not([type=checkbox]), textarea, select, [contenteditable=true], [role=combobox]";
  return target instanceof Element && target.matches(fields);
}

/** A random UUID; `crypto.randomUUID` is missing where a team's page comes without TLS. */
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** Record the time from a key to the end of the frame that shows the next mask; benchmarks/review.py reads it. */
function measureFrame(since) {
  requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => performance.measure("next mask", { start: since, end: performance.now() });
    channel.port2.postMessage(null);
  });
}
