// The Correct view: one mask at a time, mended at full resolution, saved as a new mask in the place of the old one.

import { Bitmap, toRle } from "./draw_bitmap.js";
import { DrawPage, header, slider } from "./draw_page.js";
import { HOWS, KEYS, rail } from "./draw_tools.js";
import { element, keyButton, words } from "./elements.js";
import { mounting, uuid } from "./page.js";

const PAGE_KEYS = [
  ...KEYS,
  {
    title: "Work",
    keys: [
      { keys: ["Enter"], says: "Save, and on to the next mask (also Ctrl+S)" },
      { keys: ["a"], says: "In a batch: the mask is good as it is" },
      { keys: ["r"], says: "In a batch: reject it, it is no object or beyond repair" },
      { keys: ["t"], says: "Leave this mask for later" },
      { keys: ["Backspace"], says: "Take the mask saved last back, and go on drawing it" },
      { keys: ["?"], says: "These keys" },
    ],
  },
];

const HEARTBEAT_MS = 120_000;
const RETRY_MS = 3_000;
/** Saved masks that can be taken back. */
const PAST = 20;

export const mount = mounting((data, parent) => new CorrectPage(data, parent));

class CorrectPage extends DrawPage {
  constructor(data, parent) {
    super(data, parent, { label: "The mask over its picture, to draw on", keys: PAGE_KEYS });
    this.past = []; // {task, drawn_id, actions, tookS} of acknowledged masks, newest last
    this.heartbeat = setInterval(() => this.beat(), HEARTBEAT_MS);
    this.start(data);
  }

  build(parent) {
    const choose = () => this.start({ sample: this.sample.value, mask: null });
    this.sample = element("select", { "aria-label": "Sample", on: { change: choose } });
    for (const { sample, n_masks } of this.data.samples) {
      this.sample.append(element("option", { value: sample }, named(sample, n_masks)));
    }
    this.tools = rail((key) => this.press(key));
    this.side = this.buildSide();
    this.box = element(
      "section",
      { class: "review draw", "aria-label": "Mend masks; press ? for all keys" },
      header(this, this.sample),
      element(
        "div",
        { class: "desk" },
        this.tools,
        element("div", { class: "table" }, this.editor.stage.box, this.saying, this.message),
        this.side,
      ),
      this.help.box,
    );
    this.place(parent);
  }

  buildSide() {
    const { editor } = this;
    this.about = element("p", { class: "about" });
    this.reasons = element("ul", { class: "chips", "aria-label": "What reviewers found wrong" });
    this.sliders = [
      slider({
        label: "Brush", keys: ["[", "]"], min: 1, max: 200, step: 1,
        read: () => [editor.size, `${editor.size} px`], write: (value) => editor.setSize(value),
      }),
      slider({
        label: "Fill", keys: [",", "."], min: 0.1, max: 1, step: 0.1,
        read: () => [editor.look.opacity, `${Math.round(100 * editor.look.opacity)} %`],
        write: (value) => editor.setOpacity(value),
      }),
    ];
    this.how = element("button", { type: "button", class: "how", on: { click: () => this.press("m") } });
    this.changes = element("p", { class: "changes", role: "status" });
    this.last = element("div", { class: "last", hidden: true });
    this.saveButton = keyButton({ label: "Save", key: "↵", class: "main", action: () => this.save() });
    this.laterButton = keyButton({ label: "Later", key: "t", action: () => this.press("t") });
    this.answers = ["accept", "reject"].map((decision) =>
      keyButton({
        label: decision === "accept" ? "Good as it is" : "Reject", key: decision[0], class: decision, hidden: true,
        action: () => this.press(decision[0]),
      }));
    return element(
      "aside",
      { class: "panel" },
      element("h2", {}, "What to mend"),
      this.about,
      this.reasons,
      element("h2", {}, "Tools"),
      ...this.sliders.map(({ box }) => box),
      element("div", { class: "field" }, element("span", {}, "SAM's mask"), this.how),
      element("h2", {}, "So far"),
      this.changes,
      element("span", { class: "gap" }),
      this.last,
      element("div", { class: "ends" }, this.saveButton, ...this.answers, this.laterButton),
    );
  }

  // -- tasks -------------------------------------------------------------------------------------

  start({ sample, mask }) {
    Object.assign(this, { ahead: [], left: new Set(), hasStarted: false, nWaiting: null, wanted: { sample, mask } });
    if (sample) this.sample.value = sample;
    this.next();
  }

  async next() {
    this.task = null;
    this.editor.close();
    this.editor.stage.scene = null;
    this.refresh();
    this.tell(element("p", {}, "Fetching the mask …"));
    try {
      if (!this.ahead.length) await this.fetch();
    } catch (error) {
      this.tell(element("h2", {}, "No mask"), element("p", {}, error.message));
      return;
    }
    const task = this.ahead.shift();
    if (task) await this.show(task);
    else this.done();
  }

  async fetch() {
    const { sample, mask } = this.wanted;
    const body = mask ? { mask } : { sample, starts: !this.hasStarted };
    // What was mended and is not acknowledged yet, perhaps before the page was loaded anew, is open to the server.
    const unsaved = this.drawings.pending.map((drawing) => drawing.supersedes);
    const answer = await this.server.post("review/corrections", body);
    this.hasStarted = true;
    this.wanted = { sample, mask: null };
    this.nWaiting = answer.n_waiting;
    this.batch = answer.batch ?? null; // {purpose, due}: every mask of it is to be answered
    const known = new Set([...[this.task, ...this.ahead].map((task) => task?.mask), ...this.left, ...unsaved]);
    this.ahead.push(...answer.tasks.filter((task) => !known.has(task.mask)));
    this.pictures.ahead(this.ahead);
  }

  done() {
    if (this.drawings.pending.length) {
      this.tell(element("p", {}, "Waiting until what you mended is saved …"));
      setTimeout(() => !this.task && this.box.isConnected && this.next(), RETRY_MS);
      return;
    }
    this.tell(
      element("h2", {}, "Nothing left to mend"),
      element("p", {}, this.wanted.sample
        ? "Every mask of this sample that is to be mended is mended, or with others."
        : "Choose a sample above, or judge masks Fix in Review."),
    );
  }

  /** `actions`: what was drawn on it before and taken back. */
  async show(task, actions = []) {
    this.task = task;
    this.imageId = task.image;
    this.prepareSam(task.image);
    try {
      const picture = await this.pictures.get(task.image);
      if (this.task !== task) return;
      this.tell();
      this.editor.stage.show({ picture, width: task.width, height: task.height }, task.box);
      this.editor.open(Bitmap.fromRle(task.rle, task.width, task.height), task.rle);
      if (actions.length) this.editor.resume(actions);
      this.startClock();
      this.focus();
      this.fetchAhead();
    } catch (error) {
      this.pictures.forget(task.image);
      this.tell(element("h2", {}, "The picture cannot be shown"), element("p", {}, error.message));
    }
    this.refresh();
  }

  /** The next mask and its picture, while this one is mended. */
  async fetchAhead() {
    if (this.ahead.length || !this.wanted.sample) return;
    try {
      await this.fetch();
    } catch (error) {
      this.say(error.message, "warn"); // asked again when the mask is needed
    }
    this.refresh();
  }

  /** Long work keeps its mask: leases run anew while one is at it. */
  async beat() {
    if (document.hidden || !this.task?.task_id) return;
    try {
      await this.server.post("review/leases", { sample: this.wanted.sample });
    } catch (error) {
      this.say(error.message, "warn");
    }
  }

  close() {
    clearInterval(this.heartbeat);
    super.close();
  }

  /** The lease goes on until it ends; then the mask is free for others. */
  later() {
    if (!this.task) return;
    this.left.add(this.task.mask);
    this.next();
  }

  /** In a batch a mask may be good as it is, or beyond repair. */
  answer(decision) {
    const { task, editor } = this;
    if (!task?.task_id || !this.batch || this.isSaving) return;
    if (editor.isChanged) {
      this.say("The mask is changed: save it (Enter), or undo (z) first", "warn");
      return;
    }
    const about = { rating: null, reasons: [], note: null, replaces: null, given_at: new Date().toISOString() };
    this.verdicts.add({ verdict_id: uuid(), task_id: task.task_id, decision, took_s: this.tookS, ...about });
    this.say(decision === "accept" ? "Good as it is" : "Rejected", "good");
    this.left.add(task.mask);
    this.next();
  }

  // -- saving ------------------------------------------------------------------------------------

  async save() {
    const { task, editor } = this;
    if (!task || !editor.bitmap || this.isSaving) return;
    if (editor.bitmap.isEmpty) return this.say("The mask is empty: draw it, or leave it for later (t)", "warn");
    const counts = toRle(editor.bitmap);
    if (counts === task.rle) return this.say("Nothing has changed: mend it, or leave it for later (t)", "warn");
    this.isSaving = true;
    this.refresh();
    const tookS = this.tookS;
    const drawing = {
      drawn_id: uuid(),
      image: task.image,
      run_id: task.run_id,
      segmentation: { size: [task.height, task.width], counts },
      supersedes: task.mask,
      task_id: task.task_id,
      ...editor.summary,
      took_s: tookS,
    };
    const saved = { task, drawn_id: drawing.drawn_id, actions: [...editor.done], tookS };
    const acknowledged = (answer) => {
      this.past = [...this.past, saved].slice(-PAST);
      this.showLast(answer, tookS);
    };
    try {
      const answer = await this.saveDrawing(drawing, acknowledged);
      if (answer) acknowledged(answer);
      else this.showLast(null, tookS);
      this.left.add(task.mask);
      await this.next();
    } catch (error) {
      this.say(error.message, "error"); // the mask stays open
    } finally {
      this.isSaving = false;
      this.refresh();
    }
    return undefined;
  }

  /** Take the mask that was saved last back: the old one stands again, and what was drawn is open to go on with. */
  async takeBack() {
    const last = this.past.at(-1);
    if (!last) return this.say("Nothing was saved here that could be taken back");
    if (this.isSaving) return undefined;
    if (this.editor.isChanged) return this.say("This mask is changed: save it (Enter), or undo (z) first", "warn");
    this.isSaving = true;
    this.refresh();
    try {
      await this.server.post("review/withdrawals", { drawn_id: last.drawn_id });
      this.past.pop();
      this.last.hidden = true;
      this.last.dataset.mask = "";
      this.left.delete(last.task.mask);
      if (this.task) this.ahead.unshift(this.task);
      if (this.wanted.sample) this.nWaiting += 1;
      await this.show(last.task, last.actions);
      this.absentMs -= 1000 * last.tookS; // the time goes on where it was
      this.say("Taken back: the old mask stands again; go on, or leave it for later (t)", "good");
    } catch (error) {
      if (error.status === 400) this.past.pop(); // others build on it
      this.say(`Not taken back: ${error.message}`, "error");
    } finally {
      this.isSaving = false;
      this.refresh();
    }
    return undefined;
  }

  showLast(answer, tookS) {
    const told = answer === null
      ? [element("strong", {}, "Kept here"), element("span", {}, "and sent as soon as the server answers.")]
      : [
          element("strong", {}, "Saved"),
          element("span", {}, `IoU with the old mask ${answer.iou.toFixed(3)}`),
          element("span", {}, `boundary IoU ${answer.boundary_iou.toFixed(3)} · ${Math.round(tookS)} s`),
          answer.corrected_meanwhile_by ? element("span", {}, "Somebody else had mended it meanwhile; both are kept.") : "",
          keyButton({ label: "Take it back", key: "⌫", class: "back", action: () => this.press("Backspace") }),
        ];
    this.last.replaceChildren(...told);
    this.last.classList.toggle("is-pending", answer === null);
    this.last.hidden = false;
    this.last.dataset.mask = answer?.mask_id ?? "";
  }

  // -- keys and looks ----------------------------------------------------------------------------

  act(event) {
    const isSave = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s";
    if (!isSave && this.editor.key(event)) return true;
    if (isSave || event.key === "Enter") this.save();
    else if (event.key === "t") this.later();
    else if (event.key === "Backspace") this.takeBack();
    else if (event.key === "a" && this.batch) this.answer("accept");
    else if (event.key === "r" && this.batch) this.answer("reject");
    else if (event.key === "?") this.help.toggle();
    else return false;
    return true;
  }

  refresh() {
    super.refresh();
    if (!this.box) return;
    const { editor, task } = this;
    const isOpen = Boolean(editor.bitmap);
    for (const button of this.tools.querySelectorAll("button")) {
      const { tool } = button.dataset;
      const stack = { undo: editor.done, redo: editor.undone }[tool];
      button.disabled = !isOpen || (stack !== undefined && !stack.length);
      if (!stack) button.setAttribute("aria-pressed", String(tool === editor.tool.name));
    }
    for (const { update } of this.sliders) update();
    this.how.replaceChildren(HOWS.find(({ name }) => name === editor.how).label, element("kbd", {}, "m"));
    this.saveButton.disabled = !isOpen || Boolean(this.isSaving);
    this.laterButton.disabled = !isOpen;
    for (const button of this.answers) {
      button.hidden = !this.batch;
      button.disabled = !isOpen || Boolean(this.isSaving);
    }
    const size = task ? `${task.width} × ${task.height} px` : null;
    const due = this.batch?.due ? `due ${this.batch.due.slice(0, 10)}` : null;
    this.about.textContent = task ? [this.batch?.purpose, task.label, size, due].filter(Boolean).join(" · ") : "";
    this.reasons.replaceChildren(...(task?.reasons ?? []).map((reason) => element("li", {}, words(reason))));
    this.changes.textContent = isOpen ? told(editor) : "";
    const { sample } = this.wanted ?? {};
    const option = [...this.sample.options].find(({ value }) => value === sample);
    if (option && this.nWaiting !== null) option.textContent = named(sample, this.nWaiting);
    this.box.dataset.mask = isOpen && task ? task.mask : "";
    this.box.dataset.done = String(editor.done.length);
  }
}

function named(sample, nWaiting) {
  return nWaiting ? `${sample} · ${nWaiting} to mend` : sample;
}

function told(editor) {
  const n = editor.done.length;
  if (!n) return "The mask is as it was.";
  const { gained, lost } = editor.gainedAndLost;
  const px = (count) => count.toLocaleString("en");
  return `${n} ${n === 1 ? "action" : "actions"} · ${px(gained)} px more, ${px(lost)} px less`;
}
