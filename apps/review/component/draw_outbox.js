// Masks on their way. One counts as saved when the server has acknowledged it; until then it lies in the browser's own
// store, under the workspace and the rater, and is sent again. Its id is made here, so that nothing is doubled.

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 20_000;

export class DrawingOutbox {
  #server;
  #prefix;
  #changed;
  #isSending = false;
  #pauseMs = FIRST_PAUSE_MS;
  #timer = null;
  #waiting = new Map(); // drawn_id -> {resolve, reject} of whoever saved it in this page

  /** `changed({pending, problem, refused})`: `refused` {drawing, reason} is one of an earlier page that cannot be used. */
  constructor(server, workspace, rater, changed) {
    this.#server = server;
    this.#prefix = `curation/drawings/${workspace}/${rater}/`;
    this.#changed = changed;
    this.problem = null;
    this.onlineAgain = () => this.send();
    window.addEventListener("online", this.onlineAgain);
  }

  /** Drawings that are not acknowledged, oldest first. */
  get pending() {
    const found = [];
    for (let at = 0; at < localStorage.length; at += 1) {
      const key = localStorage.key(at);
      if (key.startsWith(this.#prefix)) found.push(JSON.parse(localStorage.getItem(key)));
    }
    return found.sort((a, b) => a.kept_at - b.kept_at).map((entry) => entry.drawing);
  }

  /** Keep and send a drawing; a promise of the server's answer, however long that takes. Rejects where it is refused. */
  save(drawing) {
    localStorage.setItem(this.#prefix + drawing.drawn_id, JSON.stringify({ kept_at: Date.now(), drawing }));
    const answered = new Promise((resolve, reject) => this.#waiting.set(drawing.drawn_id, { resolve, reject }));
    this.#tell();
    this.send();
    return answered;
  }

  async send() {
    if (this.#isSending) return;
    clearTimeout(this.#timer);
    this.#isSending = true;
    try {
      for (let [drawing] = this.pending; drawing; [drawing] = this.pending) await this.#sendOne(drawing);
      this.problem = null;
    } catch (error) {
      this.problem = error;
      if (!error.isSessionOver) this.#sendLater();
    } finally {
      this.#isSending = false;
    }
    this.#tell();
  }

  close() {
    clearTimeout(this.#timer);
    window.removeEventListener("online", this.onlineAgain);
  }

  async #sendOne(drawing) {
    const asker = this.#waiting.get(drawing.drawn_id);
    let answer = null;
    try {
      answer = await this.#server.post("review/drawings", drawing);
    } catch (error) {
      if (error.status !== 400 && error.status !== 404) throw error; // lost or busy: it stays, and is sent again
      this.#forget(drawing);
      if (asker) asker.reject(error);
      else this.#changed({ pending: this.pending.length, problem: null, refused: { drawing, reason: error.message } });
      return;
    }
    this.#pauseMs = FIRST_PAUSE_MS;
    this.problem = null;
    this.#forget(drawing);
    asker?.resolve(answer);
    this.#tell();
  }

  #forget(drawing) {
    localStorage.removeItem(this.#prefix + drawing.drawn_id);
    this.#waiting.delete(drawing.drawn_id);
  }

  #sendLater() {
    this.#timer = setTimeout(() => this.send(), this.#pauseMs * (0.75 + Math.random() / 2));
    this.#pauseMs = Math.min(2 * this.#pauseMs, LONGEST_PAUSE_MS);
  }

  #tell() {
    this.#changed({ pending: this.pending.length, problem: this.problem, refused: null });
  }
}
