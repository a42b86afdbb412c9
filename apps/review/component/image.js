// Image mode: all masks of one image. Accept or reject each with the keyboard, draw what the model missed, and answer for
// regions that no mask covers.

import { Bitmap, toRle } from "./draw_bitmap.js";
import { strokePath } from "./draw_editor.js";
import { DrawPage, header, slider } from "./draw_page.js";
import { HOWS, KEYS, rail } from "./draw_tools.js";
import { element, keyButton } from "./elements.js";
import { maskPath } from "./outline.js";
import { mounting, pause, uuid } from "./page.js";

const PAGE_KEYS = [
  {
    title: "Judge",
    keys: [
      { keys: ["Tab", "⇧Tab"], says: "Next, last mask (also click)" },
      { keys: ["← ↑ ↓ →"], says: "The nearest mask on that side" },
      { keys: ["a", "r"], says: "Accept, reject the mask that is chosen" },
      { keys: ["⇧A"], says: "Accept all that are not judged yet" },
      { keys: ["z"], says: "Take the last verdict, or the last mask drawn, back" },
      { keys: ["d"], says: "Draw what is missing" },
      { keys: ["u"], says: "Show what is not covered" },
      { keys: ["g"], says: "Nothing is missing there: go on" },
      { keys: ["Enter"], says: "On to the next image" },
      { keys: ["p"], says: "Back to the last image" },
      { keys: ["f", "x", "1"], says: "Zoom to the mask; whole picture; actual size" },
      { keys: ["q"], says: "Hold: hide the masks" },
      { keys: [",", "."], says: "Fill fainter, stronger" },
    ],
  },
  {
    title: "Draw",
    keys: [
      { keys: ["Enter"], says: "Save the new mask" },
      { keys: ["Escape"], says: "Stop drawing" },
      ...KEYS[0].keys.filter(({ keys }) => !keys.includes("Escape")),
    ],
  },
];

/** Hues as far apart as they can be, one after the other (the golden angle), in two lightnesses. */
function colour(index) {
  return `hsl(${Math.round(137.508 * index + 330) % 360} 90% ${index % 2 ? 66 : 56}%)`;
}

/** A longer look counts as an absence, not as work. */
const LONGEST_LOOK_S = 120;

/** An open page keeps its image so often. */
const HEARTBEAT_MS = 120_000;

const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export const mount = mounting((data, parent) => new ImagePage(data, parent));

class ImagePage extends DrawPage {
  constructor(data, parent) {
    super(data, parent, { label: "All masks of the image", keys: PAGE_KEYS });
    this.seen = [];
    this.past = [];
    this.heartbeat = setInterval(() => this.stay(), HEARTBEAT_MS);
    this.open(data.image);
  }

  close() {
    clearInterval(this.heartbeat);
    super.close();
  }

  build(parent) {
    this.run = element("select", { "aria-label": "Run", on: { change: () => this.chooseRun() } });
    for (const { run_id, label } of this.data.runs) this.run.append(element("option", { value: run_id }, label));
    this.run.value = String(this.data.run_id);
    this.name = element("span", { class: "count" });
    this.progress = element("span", { class: "mine" });
    this.others = element("span", { class: "others", role: "status", hidden: true });
    this.tools = rail((key) => this.press(key));
    this.question = element("div", { class: "question", role: "alertdialog", "aria-label": "A question", hidden: true });
    this.side = this.buildSide();
    this.desk = element(
      "div",
      { class: "desk is-looking" },
      this.tools,
      element("div", { class: "table" }, this.editor.stage.box, this.question, this.saying, this.message),
      this.side,
    );
    this.box = element(
      "section",
      { class: "review draw", "aria-label": "All masks of an image; press ? for all keys" },
      header(this, this.run, this.name, this.progress, this.others),
      this.desk,
      this.help.box,
    );
    this.place(parent);
  }

  buildSide() {
    const { editor } = this;
    const button = (label, key, kind) => keyButton({ label, key, class: kind, action: () => this.press(keyOf(key)) });
    this.title = element("h2", {});
    this.list = element("ul", { class: "masks", role: "listbox", "aria-label": "Masks, largest first" });
    this.acceptAll = button("Accept the rest", "⇧A", "wide");
    this.judging = element(
      "div",
      { class: "judging" },
      button("Accept", "a", "is-accept"), button("Reject", "r", "is-reject"), this.acceptAll,
      button("Draw", "d"), button("Uncovered", "u"),
    );
    this.nextButton = keyButton({ label: "Next image", key: "↵", class: "main", action: () => this.finish() });
    this.sliders = [
      slider({
        label: "Brush", keys: ["[", "]"], min: 1, max: 200, step: 1,
        read: () => [editor.size, `${editor.size} px`], write: (value) => editor.setSize(value),
      }),
    ];
    this.how = element("button", { type: "button", class: "how", on: { click: () => this.press("m") } });
    this.drawSide = element(
      "div",
      { class: "ends", hidden: true },
      ...this.sliders.map(({ box }) => box),
      element("div", { class: "field" }, element("span", {}, "SAM's mask"), this.how),
      keyButton({ label: "Save the new mask", key: "↵", class: "main", action: () => this.saveDrawn() }),
      keyButton({ label: "Stop drawing", key: "Esc", action: () => this.stopDrawing() }),
    );
    this.lookSide = element("div", { class: "ends" }, this.judging, this.nextButton);
    return element("aside", { class: "panel" }, this.title, this.list, this.drawSide, this.lookSide);
  }

  // -- images ------------------------------------------------------------------------------------

  chooseRun() {
    this.data.run_id = Number(this.run.value);
    this.seen = [];
    this.past = [];
    this.focus();
    this.open(null);
  }

  /** Show an image by its id, or the next one that is not done. */
  async open(imageId) {
    this.leave();
    this.tell(element("p", {}, "Fetching the image …"));
    try {
      const body = { run_id: this.data.run_id, image: imageId, seen: this.seen };
      const answer = await this.server.post("review/image", body);
      this.progress.textContent = `${answer.n_done} of ${answer.n_images} images judged`;
      if (answer.image === null) this.done();
      else await this.show(answer);
    } catch (error) {
      this.tell(element("h2", {}, "No image"), element("p", {}, error.message));
    }
  }

  done() {
    this.name.textContent = "";
    this.tell(
      element("h2", {}, "All images are judged"),
      element("p", {}, "Every mask of this run has a verdict. Choose another run above, or p for the last image."),
    );
  }

  leave() {
    Object.assign(this, { image: null, chosen: -1, hovered: -1, given: [], mode: "look", regions: [], answered: 0 });
    this.masks = [];
    this.showOthers([]);
    this.editor.close();
    this.editor.stage.scene = null;
    this.ask();
    this.refresh();
  }

  /** Long work keeps its image, and one hears of who comes to it meanwhile. */
  async stay() {
    const { image } = this;
    if (document.hidden || !image) return;
    try {
      const { others } = await this.server.post("review/image_leases", { image: image.image, run_id: image.run_id });
      if (this.image === image) this.showOthers(others);
    } catch (error) {
      this.say(error.message, "warn");
    }
  }

  showOthers(names) {
    this.others.hidden = !names.length;
    this.others.textContent = names.length ? `⚠ ${names.join(", ")} ${names.length > 1 ? "have" : "has"} it open too` : "";
    this.others.title = "You both may go on: every verdict and every mask is kept, under its own name.";
  }

  async show(image) {
    const picture = await this.pictures.get(image.image);
    this.image = image;
    this.imageId = image.image;
    this.masks = image.masks.map((mask, index) => prepared(mask, index, image));
    this.takeRegions(image.regions);
    this.labels = labelled(this.masks, image);
    this.name.textContent = image.file_name;
    this.showOthers(image.others);
    this.tell();
    this.editor.stage.show({ picture, width: image.width, height: image.height });
    this.buildList();
    this.choose(this.masks.findIndex((mask) => mask.state === "open"));
    this.startClock();
    this.lastAt = performance.now();
    this.focus();
    this.refresh();
  }

  /** On to the next image, once all masks are judged and all large regions are answered for. */
  finish() {
    if (!this.image) return;
    const nOpen = this.masks.filter((mask) => mask.state === "open").length;
    if (nOpen) {
      this.say(`${nOpen} ${nOpen === 1 ? "mask is" : "masks are"} not judged yet: accept the rest with ⇧A`, "warn");
      this.choose(this.masks.findIndex((mask) => mask.state === "open"));
      return;
    }
    if (this.answered < this.regions.length) {
      this.askRegion();
      return;
    }
    this.seen.push(this.image.image);
    this.past.push(this.image.image);
    this.open(null);
  }

  back() {
    const imageId = this.past.pop();
    if (imageId === undefined) this.say("There is no image before this one");
    else this.open(imageId);
  }

  // -- verdicts ----------------------------------------------------------------------------------

  choose(index) {
    this.chosen = index;
    const item = this.list.children[index];
    for (const other of this.list.children) other.setAttribute("aria-selected", String(other === item));
    item?.scrollIntoView({ block: "nearest" });
    this.editor.stage.changed("mask");
    this.box.dataset.chosen = this.masks[index]?.mask ?? "";
  }

  step(by) {
    const n = this.masks.length;
    if (n) this.choose((this.chosen + by + n) % n);
  }

  /** The next one that is not judged, from the chosen one on. */
  stepOpen() {
    const n = this.masks.length;
    for (let k = 1; k <= n; k += 1) {
      const index = (this.chosen + k) % n;
      if (this.masks[index].state === "open") return this.choose(index);
    }
    this.say("All masks are judged; Enter for the next image, d to draw what is missing", "good");
    return this.choose(-1);
  }

  /** The nearest mask towards one side: what is off to the side counts double. */
  stepTowards([dx, dy]) {
    const from = this.masks[this.chosen]?.middle ?? [this.image.width / 2, this.image.height / 2];
    let best = -1;
    let least = Infinity;
    this.masks.forEach(({ middle }, index) => {
      const ahead = (middle[0] - from[0]) * dx + (middle[1] - from[1]) * dy;
      const aside = Math.abs((middle[0] - from[0]) * dy) + Math.abs((middle[1] - from[1]) * dx);
      if (index !== this.chosen && ahead > 0 && ahead + 2 * aside < least) {
        least = ahead + 2 * aside;
        best = index;
      }
    });
    if (best >= 0) this.choose(best);
  }

  judge(decision) {
    const mask = this.masks[this.chosen];
    if (!mask) return this.say("Choose a mask first (Tab, or click on it)", "warn");
    if (mask.state === "drawn") return this.say("This mask was drawn by a person; mend it in Correct", "warn");
    this.give([mask], decision);
    return this.stepOpen();
  }

  acceptRest() {
    const open = this.masks.filter((mask) => mask.state === "open");
    if (!open.length) return this.say("All masks are judged");
    this.give(open, "accept");
    this.say(`${open.length} accepted; z takes them back`, "good");
    return this.choose(-1);
  }

  /** One verdict a mask, which replaces what this rater said of it here before; the time since the last is shared out. */
  give(masks, decision) {
    const now = performance.now();
    const tookS = Math.min((now - this.lastAt) / 1000, LONGEST_LOOK_S) / masks.length;
    this.lastAt = now;
    const entries = masks.map((mask) => ({ mask, before: mask.state, verdict_id: uuid() }));
    entries.forEach(({ mask, verdict_id }, index) => {
      const agoS = (masks.length - 1 - index) * tookS;
      this.verdicts.add(this.verdict(mask, decision, verdict_id, tookS, null, agoS));
      Object.assign(mask, { state: decision, verdict_id });
    });
    this.given.push(entries);
    if (decision === "reject" || entries.some(({ before }) => before === "reject")) this.refreshRegions();
    this.refresh();
  }

  /** Take the last verdict back, or all that `accept the rest` gave. */
  undo() {
    if (this.given.at(-1)?.drawn_id) return this.takeDrawnBack(this.given.at(-1));
    const entries = this.given.pop();
    if (!entries) return this.say("Nothing to take back");
    for (const { mask, before, verdict_id } of entries) {
      if (before === "open") this.verdicts.add(this.verdict(mask, "withdrawn", uuid(), 0, verdict_id));
      else this.verdicts.add(this.verdict(mask, before, uuid(), 0, null));
      mask.state = before;
    }
    this.refreshRegions();
    this.refresh();
    return this.choose(this.masks.indexOf(entries[0].mask));
  }

  verdict(mask, decision, verdict_id, took_s, replaces, agoS = 0) {
    const given_at = new Date(Date.now() - 1000 * agoS).toISOString();
    return { verdict_id, mask: mask.mask, decision, rating: null, reasons: [], note: null, replaces, took_s, given_at };
  }

  // -- what is not covered -----------------------------------------------------------------------

  takeRegions(regions) {
    this.regions = regions.map((region) => ({ ...region, path: maskPath(region.rle, this.image.height), answer_id: uuid() }));
    this.answered = 0;
    this.skipAnswered();
    this.editor.stage.changed("top");
  }

  /** Once what was sent is committed, the server says anew what is uncovered. */
  async refreshRegions() {
    const { image } = this;
    for (let tries = 0; tries < 40 && this.verdicts.pending.length; tries += 1) await pause(100);
    if (this.image !== image) return;
    try {
      const { regions } = await this.server.post("review/uncovered", { image: image.image, run_id: image.run_id });
      if (this.image === image) this.takeRegions(regions);
    } catch (error) {
      this.say(error.message, "warn");
    }
  }

  askRegion() {
    const region = this.regions[this.answered];
    this.mode = "ask";
    this.editor.stage.fit(region.box);
    const share = region.share >= 0.1 ? Math.round(100 * region.share) : (100 * region.share).toFixed(1);
    this.ask(
      `A large region is unmasked: ${share} % of the image (${this.answered + 1} of ${this.regions.length}). Is something missing there?`,
      [["Draw it", "d"], ["Nothing is missing: go on", "g"]],
    );
    this.refresh();
  }

  /** Regions of which this rater has said before that nothing is missing are not asked about again. */
  skipAnswered() {
    while (this.regions[this.answered]?.is_answered) this.answered += 1;
  }

  /** Nothing is missing in the region that is asked about: that counts once the server has it. */
  async goOn() {
    const region = this.regions[this.answered];
    const { image, run_id } = this.image;
    const { answer_id, box, share } = region;
    if (region.isSending) return;
    region.isSending = true;
    try {
      await this.server.post("review/uncovered_answers", { answer_id, image, run_id, box, share });
    } catch (error) {
      this.say(`Not saved: ${error.message}; press g again`, "error");
      return;
    } finally {
      region.isSending = false;
    }
    if (this.mode !== "ask" || this.regions[this.answered] !== region) return; // one has gone on meanwhile
    region.is_answered = true;
    this.skipAnswered();
    this.mode = "look";
    this.ask();
    this.refresh();
    if (this.answered < this.regions.length) this.askRegion();
    else this.finish();
  }

  ask(text = null, answers = []) {
    this.question.hidden = text === null;
    const buttons = answers.map(([label, key]) => keyButton({ label, key, action: () => this.press(keyOf(key)) }));
    this.question.replaceChildren(
      element("strong", {}, text ?? ""), element("div", { class: "answers" }, ...buttons),
    );
    this.editor.stage.changed();
  }

  // -- drawing -----------------------------------------------------------------------------------

  startDrawing() {
    if (!this.image) return;
    this.mode = "draw";
    this.ask();
    this.editor.open(new Bitmap(this.image.width, this.image.height), null);
    this.startClock();
    this.prepareSam(this.image.image);
    this.say("Draw the object that the model missed; Enter saves it, Escape stops");
    this.refresh();
  }

  stopDrawing() {
    this.mode = "look";
    this.ask();
    this.editor.close();
    this.refresh();
  }

  /** Save the new mask, after asking where it overlaps another much. */
  async saveDrawn({ isSure = false } = {}) {
    const { editor, image } = this;
    if (this.isSaving || !editor.bitmap) return undefined;
    if (editor.bitmap.isEmpty) return this.say("Nothing is drawn yet", "warn");
    const segmentation = { size: [image.height, image.width], counts: toRle(editor.bitmap) };
    this.isSaving = true;
    this.refresh();
    try {
      if (isSure || !(await this.warns(segmentation))) await this.keepDrawn(segmentation);
    } catch (error) {
      this.say(error.message, "error"); // the drawing stays open
    }
    this.isSaving = false;
    this.refresh();
    return undefined;
  }

  /** Whether the new mask is one that is there already, as far as can be seen; then a question stands. */
  async warns(segmentation) {
    const { image, run_id } = this.image;
    const { overlaps, limit } = await this.server.post("review/overlaps", { image, run_id, segmentation });
    if (!overlaps.length) return false;
    const [{ mask, iou }] = overlaps;
    const index = this.masks.findIndex((other) => other.mask === mask);
    this.mode = "sure";
    this.choose(index);
    this.ask(`This overlaps mask ${index + 1} with an IoU of ${iou.toFixed(2)}, over ${limit}. Save it all the same?`, [
      ["Save it", "↵"], ["Go on drawing", "Esc"],
    ]);
    return true;
  }

  async keepDrawn(segmentation) {
    const { image, editor } = this;
    const area = editor.gainedAndLost.gained;
    const take = (answer) => this.takeDrawn(image, segmentation, area, { ...answer, drawn_id: drawing.drawn_id });
    const drawing = {
      drawn_id: uuid(), image: image.image, run_id: image.run_id, segmentation, supersedes: null, task_id: null,
      ...editor.summary, took_s: this.tookS,
    };
    const answer = await this.saveDrawing(drawing, take);
    this.stopDrawing();
    if (answer) take(answer);
    else this.say("Kept here, and sent as soon as the server answers");
  }

  /** A drawn mask that is saved stands among the others. */
  takeDrawn(image, segmentation, area_px, answer) {
    if (this.image !== image) return;
    const drawn = { mask: answer.mask_id, area_px, rle: segmentation.counts, is_drawn: true, decision: null };
    const mask = prepared({ ...drawn, box: answer.bbox_xywh }, this.masks.length, image);
    this.given.push({ drawn_id: answer.drawn_id, mask });
    this.listMasks([...this.masks, mask]);
    this.say("Saved as a new mask; z takes it back", "good");
  }

  /** A drawn mask that is taken back is gone, once the server has said so. */
  async takeDrawnBack(drawn) {
    const { image } = this;
    if (this.isSaving) return;
    this.isSaving = true;
    try {
      await this.server.post("review/withdrawals", { drawn_id: drawn.drawn_id });
      if (this.image === image) {
        this.listMasks(this.masks.filter((mask) => mask !== drawn.mask));
        this.choose(-1);
        this.say("The drawn mask is taken back", "good");
      }
    } catch (error) {
      this.say(`Not taken back: ${error.message}`, "error");
      if (error.status !== 400) return; // it may be asked again
    } finally {
      this.isSaving = false;
    }
    this.given = this.given.filter((entry) => entry !== drawn);
  }

  listMasks(masks) {
    this.masks = masks;
    this.labels = labelled(masks, this.image);
    this.buildList();
    this.refresh();
    this.refreshRegions();
  }

  // -- keys --------------------------------------------------------------------------------------

  act(event) {
    if (event.key === "?") this.help.toggle();
    else if (this.mode === "sure") return this.actSure(event.key);
    else if (this.mode === "draw") return this.actDrawing(event);
    else return this.actLooking(event);
    return true;
  }

  actSure(key) {
    if (key !== "Enter" && key !== "Escape") return false;
    this.mode = "draw";
    this.ask();
    this.refresh();
    if (key === "Enter") this.saveDrawn({ isSure: true });
    return true;
  }

  actDrawing(event) {
    if (this.editor.key(event)) return true;
    if (event.key === "Enter") this.saveDrawn();
    else if (event.key === "Escape") this.leaveDrawing();
    else return false;
    return true;
  }

  leaveDrawing() {
    if (this.editor.isChanged && !this.isLeaving) {
      this.isLeaving = true;
      this.say("Escape again throws the drawing away", "warn");
      setTimeout(() => (this.isLeaving = false), 2_500);
    } else this.stopDrawing();
  }

  actLooking(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) {
      if (event.key.toLowerCase() !== "z") return false;
      this.undo();
      return true;
    }
    const { stage } = this.editor;
    const mask = this.masks[this.chosen];
    const work = {
      a: () => this.judge("accept"),
      r: () => this.judge("reject"),
      A: () => this.acceptRest(),
      z: () => this.undo(),
      d: () => this.startDrawing(),
      u: () => (this.showsRegions = !this.showsRegions),
      g: () => (this.mode === "ask" ? this.goOn() : this.say("g answers the question about an unmasked region")),
      Escape: () => this.leaveQuestion(),
      Enter: () => this.finish(),
      p: () => this.back(),
      f: () => stage.fit(mask?.box),
      x: () => stage.fit(),
      1: () => stage.actualSize(),
      "+": () => stage.zoom(1.25),
      "=": () => stage.zoom(1.25),
      "-": () => stage.zoom(0.8),
      q: () => (this.editor.isHidden = true),
      ",": () => this.editor.setOpacity(this.preferences.opacity - 0.1),
      ".": () => this.editor.setOpacity(this.preferences.opacity + 0.1),
      " ": () => this.editor.key(event),
    }[event.key] ?? (WAYS[event.key] && (() => this.stepTowards(WAYS[event.key])));
    if (!work) return false;
    const isAlone = ["p", "Enter", "?"].includes(event.key);
    if (this.image || isAlone) work();
    if (stage.scene) stage.changed();
    return true;
  }

  leaveQuestion() {
    this.mode = "look";
    this.ask();
    this.refresh();
    this.editor.stage.fit();
  }

  /** On the canvas Tab goes through masks; from a button, or with all behind one, through the page. */
  tab(event) {
    const isOnStage = event.composedPath()[0] === this.editor.stage.box;
    if (!isOnStage || this.mode !== "look" || !this.masks.length) return false;
    const isLeaving = event.shiftKey ? this.chosen === 0 : this.chosen === this.masks.length - 1;
    if (isLeaving) return false;
    this.step(event.shiftKey ? -1 : 1);
    return true;
  }

  pick([x, y]) {
    const index = this.maskAt(x, y);
    if (index >= 0) this.choose(index);
  }

  hover(point) {
    const index = point ? this.maskAt(...point) : -1;
    if (index === this.hovered) return;
    this.hovered = index;
    this.editor.stage.changed("mask");
  }

  maskAt(x, y) {
    if (!this.image || !this.editor.stage.isInside([x, y])) return -1;
    return this.labels[Math.floor(y) * this.image.width + Math.floor(x)] - 1;
  }

  // -- what is seen ------------------------------------------------------------------------------

  paintUnder(context, transform, stage) {
    if (!this.image || this.editor.isHidden) return;
    const isDrawing = this.mode === "draw" || this.mode === "sure";
    this.masks.forEach((mask, index) => {
      const isMarked = index === this.chosen || index === this.hovered;
      if (mask.state === "reject") {
        strokePath(context, mask.path, transform, stage, "#ff6b5e", [5, 4]);
        return;
      }
      context.globalAlpha = fillOf(mask, isDrawing) * this.preferences.opacity * (isMarked && !isDrawing ? 1.5 : 1);
      context.fillStyle = mask.colour;
      context.fill(mask.path, "evenodd");
      context.globalAlpha = isDrawing ? 0.45 : 1;
      context.strokeStyle = mask.colour;
      context.lineWidth = (1.4 * stage.ratio) / transform.scale;
      context.stroke(mask.path);
      context.globalAlpha = 1;
    });
    for (const index of new Set([this.hovered, this.chosen])) this.paintMarked(context, transform, stage, index);
  }

  paintMarked(context, transform, stage, index) {
    const mask = this.masks[index];
    if (!mask || this.mode === "draw") return;
    context.save();
    context.strokeStyle = index === this.chosen ? "#ffffff" : "rgba(255, 255, 255, 0.7)";
    context.shadowColor = "rgba(0, 0, 0, 0.9)";
    context.shadowBlur = 4 * stage.ratio;
    context.lineWidth = ((index === this.chosen ? 3.2 : 2) * stage.ratio) / transform.scale;
    context.stroke(mask.path);
    context.restore();
  }

  paintAbove(context, transform, stage) {
    if (!this.image) return;
    const screen = stage.ratio / transform.scale;
    const regions = this.mode === "ask" ? [this.regions[this.answered]] : this.showsRegions ? this.regions : [];
    for (const { path } of regions) {
      context.fillStyle = hatched(context, screen);
      context.fill(path, "evenodd");
      strokePath(context, path, transform, stage, "#ffd60a", [7, 5]);
    }
    if (this.mode === "draw" || this.mode === "sure" || this.editor.isHidden) return;
    for (const mask of this.masks) if (mask.state !== "open") paintSign(context, mask, screen);
  }

  buildList() {
    this.list.replaceChildren(
      ...this.masks.map((mask, index) => {
        const item = element(
          "li",
          { role: "option", "data-mask": mask.mask, on: { click: () => (this.choose(index), this.focus()) } },
          element("span", { class: "swatch" }),
          element("span", { class: "name" }, mask.label ?? `mask ${index + 1}`),
          element("span", { class: "area" }, `${mask.area_px.toLocaleString("en")} px`),
          element("span", { class: "sign" }),
        );
        item.style.setProperty("--swatch", mask.colour);
        return item;
      }),
    );
  }

  refresh() {
    super.refresh();
    if (!this.box || !this.masks) return;
    const { editor, mode } = this;
    const isDrawing = mode === "draw" || mode === "sure";
    this.desk.classList.toggle("is-looking", !isDrawing);
    this.drawSide.hidden = !isDrawing;
    this.lookSide.hidden = isDrawing;
    const nJudged = this.masks.filter((mask) => mask.state !== "open").length;
    this.title.textContent = this.image ? `${nJudged} of ${this.masks.length} masks judged` : "";
    this.masks.forEach((mask, index) => {
      const item = this.list.children[index];
      if (!item) return;
      item.dataset.decision = mask.state;
      item.lastChild.textContent = { open: "", accept: "✓", reject: "✕", drawn: "✎" }[mask.state] ?? "·";
      item.lastChild.title = mask.state;
      item.firstChild.classList.toggle("is-off", mask.state === "reject");
    });
    if (!this.image) this.list.replaceChildren();
    for (const button of this.tools.querySelectorAll("button")) {
      const { tool } = button.dataset;
      const stack = { undo: editor.done, redo: editor.undone }[tool];
      button.disabled = !editor.bitmap || (stack !== undefined && !stack.length);
      if (!stack) button.setAttribute("aria-pressed", String(tool === editor.tool.name));
    }
    for (const { update } of this.sliders) update();
    this.how.replaceChildren(HOWS.find(({ name }) => name === editor.how).label, element("kbd", {}, "m"));
    for (const button of this.lookSide.querySelectorAll("button")) button.disabled = !this.image;
    this.box.dataset.image = this.image?.image ?? "";
    this.box.dataset.mode = mode ?? "";
    this.box.dataset.done = String(editor.done.length);
    this.editor.stage.changed();
  }
}

/** A mask as the page holds it. `state`: open, or what this rater said, or drawn. */
function prepared(mask, index, { height }) {
  const path = maskPath(mask.rle, height);
  const [x, y, w, h] = mask.box ?? [0, 0, 0, 0];
  const state = mask.is_drawn ? "drawn" : ["accept", "reject"].includes(mask.decision) ? mask.decision : "open";
  return { ...mask, path, colour: colour(index), middle: [x + w / 2, y + h / 2], state };
}

/** For every pixel the number of the smallest mask over it, from 1; 0 where there is none. Masks come largest first. */
function labelled(masks, { width, height }) {
  const labels = new Uint16Array(width * height);
  const order = masks.map((_, index) => index).sort((a, b) => masks[b].area_px - masks[a].area_px);
  for (const index of order) {
    const { pixels } = Bitmap.fromRle(masks[index].rle, width, height);
    for (let at = pixels.indexOf(1); at >= 0; at = pixels.indexOf(1, at + 1)) labels[at] = index + 1;
  }
  return labels;
}

function fillOf({ state }, isDrawing) {
  if (isDrawing) return 0.45;
  return state === "open" ? 1.15 : 0.35;
}

/** A tick or a pen in the middle of a judged mask, a cross on a rejected one. */
function paintSign(context, { state, middle }, screen) {
  const [x, y] = middle;
  context.save();
  context.translate(x, y);
  context.scale(screen, screen);
  context.beginPath();
  context.arc(0, 0, 9, 0, 2 * Math.PI);
  context.fillStyle = state === "reject" ? "#d64545" : "#20804b";
  context.fill();
  context.strokeStyle = "#ffffff";
  context.lineWidth = 1.8;
  context.lineCap = "round";
  context.stroke();
  const lines = {
    reject: [[-3.5, -3.5, 3.5, 3.5], [3.5, -3.5, -3.5, 3.5]],
    drawn: [[-4, 4, 4, -4], [-4, 4, -1, 3.5]],
  }[state] ?? [[-4, 0.5, -1, 3.5], [-1, 3.5, 4, -3]];
  context.beginPath();
  for (const [x0, y0, x1, y1] of lines) {
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
  }
  context.stroke();
  context.restore();
}

/** Yellow stripes, as wide at every zoom. */
function hatched(context, screen) {
  const tile = element("canvas", { width: 12, height: 12 });
  const stripes = tile.getContext("2d");
  stripes.strokeStyle = "rgba(255, 214, 10, 0.55)";
  stripes.lineWidth = 3;
  for (const shift of [-12, 0, 12]) {
    stripes.moveTo(shift, 12);
    stripes.lineTo(shift + 12, 0);
  }
  stripes.stroke();
  const pattern = context.createPattern(tile, "repeat");
  pattern.setTransform(new DOMMatrix().scale(screen));
  return pattern;
}

function keyOf(key) {
  return { "↵": "Enter", Esc: "Escape", "⇧A": "A" }[key] ?? key;
}
