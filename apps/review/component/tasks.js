// The masks that come next: leased ahead, with their pictures and outlines ready before they are shown.

import { maskPath } from "./outline.js";

/** Ask for more when fewer than this lie ahead: as many as pictures are kept ready. More at once cost the server little. */
const LOW = 8;
const RETRY_MS = 2_000;
/** Nothing was free: others may give masks back. */
const WAIT_MS = 15_000;
/** How far the sample is, is asked no more often. */
const COUNTED_MS = 20_000;
/** Nothing was free, but verdicts were still on their way. */
const SOON_MS = 500;
/** Masks whose outline is traced ahead. */
const TRACED = 6;
const PAST = 50;

export class Tasks {
  #server;
  #pictures;
  #options;
  #isAsking = false;
  #hasStarted = false;
  #timer = null;
  #leaseUntil = Infinity;
  #countedAt = -Infinity;
  #nGiven = 0;

  /** `options`: sample, atOnce, leaseS, adjudicates, pending() (verdicts not yet acknowledged), changed(tasks). */
  constructor(server, pictures, options) {
    this.#server = server;
    this.#pictures = pictures;
    this.#options = options;
    this.ahead = [];
    this.past = []; // {task, verdict}, newest last
    this.progress = null;
    this.problem = null;
    this.isDone = false;
  }

  /** The next task, or null while none is here. */
  take() {
    const task = this.ahead.shift() ?? null;
    this.fill();
    return task;
  }

  /** Put a task back to the front. */
  putBack(task) {
    this.ahead.unshift(task);
  }

  remember(task, verdict) {
    this.past.push({ task, verdict });
    this.#nGiven += 1;
    this.isDone = false; // until the server, asked after this verdict, has nothing more
    if (this.past.length > PAST) this.past.shift();
  }

  /** Keep enough ahead. Called as often as one likes. */
  async fill() {
    this.prepare();
    if (this.#isAsking || this.isClosed || (this.#hasStarted && this.ahead.length >= LOW)) return;
    clearTimeout(this.#timer);
    this.#isAsking = true;
    try {
      const pending = [...this.#options.pending()]; // acknowledged before the answer is here, perhaps
      const nKnown = this.#nGiven - pending.length;
      const answer = await this.#ask();
      this.#take(answer, this.#nGiven - nKnown, pending);
    } catch (error) {
      this.problem = error;
      if (!error.isSessionOver) this.#fillLater(RETRY_MS);
    } finally {
      this.#isAsking = false;
    }
    if (!this.isClosed) this.#options.changed(this);
    this.prepare();
    this.#count();
  }

  /** Let leases run on where they are about to end, while somebody works here. */
  async renew() {
    if (!this.ahead.length || Date.now() < this.#leaseUntil - this.#options.leaseS * 500) return;
    const answer = await this.#server.post("review/leases", { sample: this.#options.sample });
    this.#leaseUntil = Date.parse(answer.lease_until);
  }

  /** Fetch pictures and trace outlines of what comes next. */
  prepare() {
    this.#pictures.ahead(this.ahead);
    const task = this.ahead.slice(0, TRACED).find((next) => !next.path);
    if (!task || this.tracing) return;
    this.tracing = true;
    whenIdle(() => {
      this.tracing = false;
      trace(task);
      this.prepare();
    });
  }

  close() {
    this.isClosed = true;
    clearTimeout(this.#timer);
  }

  #ask() {
    const { sample, atOnce, adjudicates } = this.#options;
    const n = Math.max(1, atOnce - this.ahead.length);
    return this.#server.post("review/tasks", { sample, n, starts: !this.#hasStarted, adjudicates });
  }

  /** `nPending`: verdicts that the server did not know of when it was asked, those given since among them: it takes their
   * masks for open ones. `pendingThen` are those that were on their way. */
  #take(answer, nPending, pendingThen) {
    this.problem = null;
    this.#hasStarted = true;
    const known = new Set([...this.ahead, ...this.past.map((entry) => entry.task)].map((task) => task.task_id));
    for (const verdict of [...pendingThen, ...this.#options.pending()]) known.add(verdict.task_id);
    const fresh = answer.tasks.filter((task) => !known.has(task.task_id));
    this.ahead.push(...fresh);
    if (answer.tasks.length) this.#leaseUntil = Date.parse(answer.lease_until);
    this.isDone = !fresh.length && !nPending;
    if (!fresh.length) this.#fillLater(nPending ? SOON_MS : WAIT_MS);
  }

  /** How far the sample is: not often, and no mask waits for it. What fails is asked again with the next tasks. */
  async #count() {
    if (this.isClosed || performance.now() - this.#countedAt < COUNTED_MS) return;
    this.#countedAt = performance.now();
    try {
      this.progress = await this.#server.post("review/progress", { sample: this.#options.sample });
    } catch {
      this.#countedAt = -Infinity;
      return;
    }
    if (!this.isClosed) this.#options.changed(this);
  }

  #fillLater(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.fill(), ms);
  }
}

/** Give a task its outline, if it has none yet. */
export function trace(task) {
  task.path ??= maskPath(task.rle, task.height);
}

function whenIdle(work) {
  if ("requestIdleCallback" in window) window.requestIdleCallback(work, { timeout: 500 });
  else setTimeout(work, 0);
}
