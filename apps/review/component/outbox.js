// Verdicts on their way. One counts as given when the server's answer names it; until then it lies in the browser's
// own store, under the workspace and the rater, and is sent again. Its id is made here, so that nothing is doubled.

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 20_000;
const MOST_AT_ONCE = 50;

export class Outbox {
  #server;
  #prefix;
  #changed;
  #isSending = false;
  #pauseMs = FIRST_PAUSE_MS;
  #timer = null;

  /** `changed({pending, refused, problem})` is called whenever one of them changes. */
  constructor(server, workspace, rater, changed) {
    this.#server = server;
    this.#prefix = `curation/verdicts/${workspace}/${rater}/`;
    this.#changed = changed;
    this.problem = null;
    this.refused = [];
    this.onlineAgain = () => this.send();
    window.addEventListener("online", this.onlineAgain);
  }

  /** Verdicts that no answer has named yet, oldest first. Those of other tabs of this rater are among them. */
  get pending() {
    const found = [];
    for (let at = 0; at < localStorage.length; at += 1) {
      const key = localStorage.key(at);
      if (key.startsWith(this.#prefix)) found.push(JSON.parse(localStorage.getItem(key)));
    }
    return found.sort((a, b) => (a.given_at < b.given_at ? -1 : a.given_at > b.given_at ? 1 : 0));
  }

  add(verdict) {
    localStorage.setItem(this.#prefix + verdict.verdict_id, JSON.stringify(verdict));
    this.#tell();
    this.send();
  }

  /** Send what is pending, once; after a failure again and again, with longer pauses. */
  async send() {
    if (this.#isSending) return;
    clearTimeout(this.#timer);
    this.#isSending = true;
    try {
      for (let batch = this.pending; batch.length; batch = this.pending) {
        await this.#sendBatch(batch.slice(0, MOST_AT_ONCE));
      }
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

  async #sendBatch(batch) {
    // A page that is closed still sends it; browsers allow 64 KiB for that.
    const keepalive = JSON.stringify(batch).length < 60_000;
    const answer = await this.#server.post("review/verdicts", { verdicts: batch }, { keepalive });
    this.#pauseMs = FIRST_PAUSE_MS;
    for (const id of answer.acknowledged) localStorage.removeItem(this.#prefix + id);
    for (const verdict of batch.filter((v) => v.verdict_id in answer.refused)) {
      localStorage.removeItem(this.#prefix + verdict.verdict_id);
      this.refused.push({ verdict, reason: answer.refused[verdict.verdict_id] });
    }
    if (!answer.acknowledged.length && !Object.keys(answer.refused).length) {
      throw new Error("the server named none of the verdicts that it was sent");
    }
    this.problem = null;
    this.#tell();
  }

  #sendLater() {
    this.#timer = setTimeout(() => this.send(), this.#pauseMs * (0.75 + Math.random() / 2));
    this.#pauseMs = Math.min(2 * this.#pauseMs, LONGEST_PAUSE_MS);
  }

  #tell() {
    this.#changed({ pending: this.pending.length, refused: this.refused, problem: this.problem });
  }
}
