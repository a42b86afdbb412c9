// Editing one mask: tools, undo, and what follows the pointer. It owns a stage; pages put it into theirs.

import {
  Bitmap, changes, combined, gainedAndLost, joined, paintRegion, polygon, region, stroke, turnOver,
} from "./draw_bitmap.js";
import { CONTRASTS, Overlay, Stage, paintOverlay } from "./draw_stage.js";
import { HOWS, TOOLS } from "./draw_tools.js";
import { maskPath } from "./outline.js";
import { COLOURS, STYLES } from "./views.js";

const SIZES = { least: 1, most: 400 };
/** Two clicks this near (screen pixels) are one corner: the polygon closes. */
const NEAR_PX = 9;
const NO_CLICKS = { points: [], base: null, predicted: null, how: "replace" };

export class Editor {
  /**
   * `options`: label; predict(points) -> promise of run lengths, points [x, y, 1 or 0]; say(text, kind); changed();
   * under(context, transform, stage): what is painted below the mask; above(…): over everything.
   */
  constructor(options) {
    this.options = options;
    this.stage = new Stage(options.label, {
      mask: (...args) => this.#paintMask(...args),
      top: (...args) => this.#paintTop(...args),
    });
    this.stage.onSizeWheel = (steps) => this.#resizeBrush(steps);
    this.look = { style: "both", opacity: 0.4, colour: COLOURS[0] };
    this.size = 24;
    this.how = "replace";
    this.tool = TOOLS[0];
    this.close();
    this.#listen();
  }

  /** Start on a mask; `old` is the one whose outline can be shown, run lengths or null. */
  open(bitmap, old) {
    this.bitmap = bitmap;
    this.before = bitmap.copy();
    this.start = bitmap.copy();
    this.oldPath = old ? maskPath(old, bitmap.height) : null;
    this.overlay = new Overlay(bitmap, this.look.colour);
    Object.assign(this, { done: [], undone: [], corners: [], clicks: { ...NO_CLICKS, how: this.how }, asked: null });
    this.stage.changed();
    this.#tell();
  }

  /** Do on the mask that was just opened what was done on it before, each action to be undone. */
  resume(actions) {
    for (const { runs } of actions) for (const bitmap of [this.bitmap, this.before]) turnOver(bitmap, runs);
    this.done = [...actions];
    this.clicks = { ...NO_CLICKS, how: this.how };
    this.#keep([0, 0, this.bitmap.width, this.bitmap.height]);
  }

  /** Nothing is edited. */
  close() {
    Object.assign(this, { bitmap: null, overlay: null, done: [], undone: [], corners: [], clicks: NO_CLICKS });
    Object.assign(this, { held: null, cursor: null, isKeyboardCursor: false, isSpaceHeld: false, asked: null });
    this.stage.changed();
  }

  get isChanged() {
    return this.done.length > 0;
  }

  /** Tools in the order of first use, and actions; undone ones left out. */
  get summary() {
    return { tools: [...new Set(this.done.map((action) => action.tool))], n_actions: this.done.length };
  }

  get gainedAndLost() {
    return gainedAndLost(this.start, this.bitmap);
  }

  choose(name) {
    if (this.corners.length) this.#leavePolygon();
    this.tool = TOOLS.find((tool) => tool.name === name);
    this.options.say(this.tool.about);
    this.stage.changed("top");
    this.#tell();
  }

  // -------------------------------------------------------------------------------------------- keys

  /** Do what a key says; true where it meant something here. */
  key(event) {
    if (!this.bitmap) return false;
    const isControl = event.ctrlKey || event.metaKey;
    const lower = event.key.toLowerCase();
    if (isControl && (lower === "z" || lower === "y")) {
      if (lower === "y" || event.shiftKey) this.redo();
      else this.undo();
      return true;
    }
    if (isControl || event.altKey) return false;
    const tool = TOOLS.find((one) => one.key === event.key);
    if (tool) this.choose(tool.name);
    else if (event.key.startsWith("Arrow")) this.#moveCursor(event);
    else if (event.key === " ") this.#pressSpace(event);
    else if (event.key === "Enter" && this.corners.length) this.#closePolygon();
    else if (event.key === "Escape" && this.#isUnderWay()) this.#leave();
    else if (event.key === "Backspace" && this.corners.length) this.#dropCorner();
    else return this.#simpleKey(event.key);
    return true;
  }

  keyUp(event) {
    if (event.key === " ") {
      this.isSpaceHeld = false;
      if (this.held?.isKeyboard) this.#endStroke();
      this.#cursorStyle();
    } else if (event.key === "q" && this.isHidden) {
      this.isHidden = false;
      this.stage.changed("mask");
    }
  }

  #simpleKey(key) {
    const work = {
      "[": () => this.#resizeBrush(-1),
      "]": () => this.#resizeBrush(1),
      m: () => this.#nextHow(),
      n: () => this.#nextObject(),
      z: () => this.undo(),
      y: () => this.redo(),
      Z: () => this.redo(),
      f: () => this.zoomToMask(),
      x: () => this.stage.fit(),
      1: () => this.stage.actualSize(),
      "+": () => this.stage.zoom(1.25),
      "=": () => this.stage.zoom(1.25),
      "-": () => this.stage.zoom(0.8),
      q: () => (this.isHidden = true),
      w: () => (this.showsOld = !this.showsOld),
      o: () => (this.look.style = next(STYLES, this.look.style)),
      ",": () => this.#setOpacity(-0.1),
      ".": () => this.#setOpacity(0.1),
      c: () => this.stage.setContrast(next(CONTRASTS, this.stage.contrast)),
      k: () => this.setColour(next(COLOURS, this.look.colour)),
    }[key];
    if (!work) return false;
    work();
    this.stage.changed("mask", "top");
    this.#tell();
    return true;
  }

  setColour(colour) {
    this.look.colour = colour;
    this.overlay?.recolour(colour);
    this.stage.changed("mask", "top");
  }

  setSize(size) {
    this.size = Math.min(Math.max(Math.round(size), SIZES.least), SIZES.most);
    this.stage.changed("top");
    this.#tell();
  }

  setOpacity(opacity) {
    this.look.opacity = Math.min(Math.max(opacity, 0.1), 1);
    this.stage.changed("mask");
    this.#tell();
  }

  zoomToMask() {
    this.stage.fit(boxOf(this.bitmap));
  }

  #setOpacity(by) {
    this.setOpacity(Math.round(10 * (this.look.opacity + by)) / 10);
  }

  #resizeBrush(steps) {
    const step = Math.max(1, Math.round(this.size * 0.15));
    this.setSize(this.size + steps * step);
  }

  // -------------------------------------------------------------------------------------------- pointer

  #listen() {
    const { box } = this.stage;
    box.addEventListener("pointerdown", (event) => this.#pointerDown(event));
    box.addEventListener("pointermove", (event) => this.#pointerMove(event));
    box.addEventListener("pointerup", (event) => this.#pointerUp(event));
    box.addEventListener("pointercancel", (event) => this.#pointerUp(event));
    box.addEventListener("pointerleave", () => this.#pointerLeave());
    box.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  #pointerDown(event) {
    if (!this.stage.scene || event.button > 2) return;
    this.stage.box.focus({ preventScroll: true });
    this.stage.box.setPointerCapture(event.pointerId);
    if (event.button === 1 || (this.isSpaceHeld && !this.isKeyboardCursor)) {
      event.preventDefault();
      this.held = { kind: "pan", x: event.clientX, y: event.clientY };
      this.#cursorStyle();
    } else if (this.bitmap) {
      this.#press(this.stage.point(event), event.button === 2 || event.shiftKey);
    } else {
      this.options.pick?.(this.stage.point(event), event);
    }
  }

  #pointerMove(event) {
    if (!this.stage.scene) return;
    this.isKeyboardCursor = false;
    if (this.held?.kind === "pan") {
      const { ratio } = this.stage;
      this.stage.pan((event.clientX - this.held.x) * ratio, (event.clientY - this.held.y) * ratio);
      Object.assign(this.held, { x: event.clientX, y: event.clientY });
      return;
    }
    this.cursor = this.stage.point(event);
    if (this.held?.kind === "stroke") {
      const passed = event.getCoalescedEvents?.() ?? [];
      for (const one of passed.length ? passed : [event]) this.#strokeTo(this.stage.point(one));
    }
    if (this.bitmap) this.stage.changed("top");
    else this.options.hover?.(this.cursor);
  }

  #pointerUp(event) {
    if (this.held?.kind === "stroke" && event.type === "pointerup") this.#strokeTo(this.stage.point(event));
    if (this.held?.kind === "stroke") this.#endStroke();
    this.held = null;
    this.#cursorStyle();
  }

  #pointerLeave() {
    if (this.held || this.isKeyboardCursor) return;
    this.cursor = null;
    this.stage.changed("top");
    if (!this.bitmap) this.options.hover?.(null);
  }

  /** The tool at work on a point. `isOther`: right button or Shift. */
  #press(point, isOther, isKeyboard = false) {
    const { name } = this.tool;
    if (name === "brush" || name === "eraser") this.#startStroke(point, isOther, isKeyboard);
    else if (name === "polygon" || name === "cut") this.#addCorner(point);
    else if (!this.stage.isInside(point)) this.options.say("Click inside the picture");
    else if (name === "sam") this.#click(point, isOther ? 0 : 1);
    else this.#turnRegion(point, name);
  }

  #moveCursor(event) {
    const { scale } = this.stage.transform;
    const step = Math.max(1, Math.round((event.shiftKey ? 40 : 4) * (this.stage.ratio / scale)));
    const from = this.cursor ?? middleOf(this.bitmap);
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const [x, y] = this.bitmap.pixelAt(from[0] + dx * step, from[1] + dy * step);
    this.isKeyboardCursor = true;
    this.cursor = [x + 0.5, y + 0.5];
    if (this.held?.isKeyboard) this.#strokeTo(this.cursor);
    this.stage.follow(this.cursor);
    this.stage.changed("top");
  }

  #pressSpace(event) {
    if (event.repeat) return;
    this.isSpaceHeld = true;
    if (this.isKeyboardCursor) this.#press(this.cursor, event.shiftKey, true);
    this.#cursorStyle();
  }

  #cursorStyle() {
    const isPanning = this.held?.kind === "pan";
    const canPan = this.isSpaceHeld && !this.isKeyboardCursor;
    this.stage.box.dataset.cursor = isPanning ? "grabbing" : canPan ? "grab" : this.bitmap ? "draw" : "pick";
  }

  // -------------------------------------------------------------------------------------------- tools

  #startStroke(point, isOther, isKeyboard) {
    const paints = (this.tool.name === "brush") !== isOther;
    this.held = { kind: "stroke", value: paints ? 1 : 0, last: point, area: null, isKeyboard };
    this.held.tool = paints ? "brush" : "eraser";
    this.#strokeTo(point);
  }

  #strokeTo(point) {
    const area = stroke(this.bitmap, this.held.last, point, this.size, this.held.value);
    this.held.last = point;
    this.held.area = joined(this.held.area, area);
    this.overlay.update(area);
    this.stage.changed("mask");
  }

  #endStroke() {
    const { area, tool } = this.held;
    this.held = null;
    this.#record(tool, area);
  }

  #addCorner(point) {
    const [first] = this.corners;
    if (this.corners.length > 2 && this.#isNear(first, point)) {
      this.#closePolygon();
      return;
    }
    const last = this.corners.at(-1);
    if (last && this.#isNear(last, point)) {
      if (this.corners.length > 2) this.#closePolygon(); // a double click
      return;
    }
    this.corners.push(point);
    if (this.corners.length === 1) this.options.say("Click corners; Enter closes, Backspace takes the last one back");
    this.stage.changed("top");
  }

  #isNear(a, b) {
    const { scale } = this.stage.transform;
    return Math.hypot(a[0] - b[0], a[1] - b[1]) * scale < NEAR_PX * this.stage.ratio;
  }

  #closePolygon() {
    const { corners } = this;
    if (corners.length < 3) {
      this.options.say("A polygon has at least 3 corners", "warn");
      return;
    }
    this.corners = [];
    this.#record("polygon", polygon(this.bitmap, corners, this.tool.name === "polygon" ? 1 : 0));
  }

  #dropCorner() {
    this.corners.pop();
    this.stage.changed("top");
  }

  #leavePolygon() {
    this.corners = [];
    this.stage.changed("top");
  }

  #turnRegion(point, name) {
    const fills = name === "fill_hole";
    const [x, y] = this.bitmap.pixelAt(...point);
    const isMask = this.bitmap.pixels[y * this.bitmap.width + x] === 1;
    if (isMask === fills) {
      this.options.say(fills ? "That is mask: click into a hole of it" : "No mask is there: click on a piece", "warn");
      return;
    }
    const found = region(this.bitmap, x, y);
    if (fills && found.isOpen) {
      this.options.say("That is no hole: it reaches the border of the picture", "warn");
      return;
    }
    this.#record(name, paintRegion(this.bitmap, found, fills ? 1 : 0));
    this.options.say(`${found.n.toLocaleString("en")} px ${fills ? "filled" : "dropped"}`);
  }

  // -------------------------------------------------------------------------------------------- SAM

  /** Clicks that come while the server answers wait, and are answered together. */
  async #click([x, y], label) {
    const points = [...(this.asked?.points ?? this.clicks.points), [x, y, label]];
    if (!points.some((point) => point[2] === 1)) {
      this.options.say("First click on the object, then on what is not part of it", "warn");
      return;
    }
    const isBusy = this.asked !== null;
    this.asked = { points };
    this.stage.changed("top");
    if (!isBusy) await this.#answerClicks();
  }

  async #answerClicks() {
    const { bitmap } = this;
    while (this.asked && this.bitmap === bitmap) {
      const { asked } = this;
      try {
        const began = performance.now();
        const text = await this.options.predict(asked.points);
        if (this.bitmap !== bitmap || !this.asked) return; // another mask is open, or the clicks were left
        this.answeredMs = performance.now() - began;
        this.#applyClicks({ ...this.clicks, points: asked.points, predicted: text });
        if (this.asked === asked) this.asked = null;
      } catch (error) {
        if (this.bitmap !== bitmap) return;
        this.asked = null;
        this.options.say(error.message, "error");
      }
      this.stage.changed("top");
    }
  }

  /** Make the mask what these clicks say, as one action. */
  #applyClicks(clicks) {
    const { width, height } = this.bitmap;
    const base = clicks.base ?? this.bitmap.copy();
    const predicted = Bitmap.fromRle(clicks.predicted, width, height);
    const made = combined(base, predicted, clicks.how);
    this.bitmap.pixels.set(made.pixels);
    this.#record("sam", [0, 0, width, height], { ...clicks, base });
  }

  #nextHow() {
    this.how = next(HOWS.map((one) => one.name), this.how);
    this.options.say(`SAM's mask ${HOWS.find((one) => one.name === this.how).label}`);
    const clicks = { ...this.clicks, how: this.how };
    if (this.tool.name === "sam" && clicks.predicted) this.#applyClicks(clicks);
    else this.clicks = clicks;
  }

  #nextObject() {
    this.clicks = { ...NO_CLICKS, how: this.how };
    this.asked = null;
    this.options.say("Click the next object");
  }

  #isUnderWay() {
    return this.corners.length > 0 || this.clicks.points.length > 0 || this.asked !== null;
  }

  #leave() {
    if (this.corners.length) this.#leavePolygon();
    else this.#nextObject();
    this.stage.changed("top");
  }

  // -------------------------------------------------------------------------------------------- undo

  /** Keep what changed inside `area` as one action. Clicks end with every action that is not one. */
  #record(tool, area, clicks = { ...NO_CLICKS, how: this.how }) {
    const runs = area ? changes(this.before, this.bitmap, area) : [];
    if (runs.length || clicks.points.length) {
      this.done.push({ tool, runs, from: this.clicks, to: clicks });
      this.undone = [];
    }
    this.clicks = clicks;
    this.#keep(turnOver(this.before, runs));
  }

  undo() {
    if (this.corners.length) {
      this.#dropCorner();
      return;
    }
    this.#turn(this.done, this.undone, "from", "undo");
  }

  redo() {
    this.#turn(this.undone, this.done, "to", "redo");
  }

  #turn(source, target, clicks, word) {
    if (this.held) return;
    const action = source.pop();
    if (!action) {
      this.options.say(`Nothing to ${word}`);
      return;
    }
    target.push(action);
    this.asked = null;
    this.clicks = action[clicks];
    turnOver(this.bitmap, action.runs);
    this.#keep(turnOver(this.before, action.runs));
  }

  #keep(area) {
    this.overlay.update(area);
    this.stage.changed("mask", "top");
    this.#tell();
  }

  #tell() {
    this.#cursorStyle();
    this.options.changed?.();
  }

  // -------------------------------------------------------------------------------------------- painting

  #paintMask(context, transform, stage) {
    this.options.under?.(context, transform, stage);
    if (!this.overlay || this.isHidden) return;
    paintOverlay(context, this.overlay, transform, stage, this.look);
    if (this.showsOld && this.oldPath) strokePath(context, this.oldPath, transform, stage, "#ffffff", [6, 4]);
  }

  #paintTop(context, transform, stage) {
    this.options.above?.(context, transform, stage);
    if (!this.bitmap) return;
    const screen = stage.ratio / transform.scale; // one pixel of the screen, in the picture's
    paintPolygon(context, this.corners, this.cursor, screen, this.look.colour);
    if (this.tool.name === "sam") paintClicks(context, this.asked?.points ?? this.clicks.points, screen);
    if (this.cursor) this.#paintCursor(context, screen);
  }

  #paintCursor(context, screen) {
    const isBrush = this.tool.name === "brush" || this.tool.name === "eraser";
    const [x, y] = this.cursor;
    const shape = new Path2D();
    if (isBrush && !this.isSpaceHeld) shape.arc(x, y, Math.max(this.size / 2, 2 * screen), 0, 2 * Math.PI);
    if (!isBrush || this.isKeyboardCursor) {
      const arm = 9 * screen;
      for (const [dx, dy] of [[arm, 0], [0, arm]]) {
        shape.moveTo(x - dx, y - dy);
        shape.lineTo(x + dx, y + dy);
      }
    }
    strokeTwice(context, shape, screen, this.tool.name === "eraser" ? "#ff6b5e" : "#ffffff");
  }
}

function paintPolygon(context, corners, cursor, screen, colour) {
  if (!corners.length) return;
  const shape = new Path2D();
  for (const [x, y] of corners) shape.lineTo(x, y);
  if (cursor) shape.lineTo(...cursor);
  context.globalAlpha = 0.25;
  context.fillStyle = colour;
  context.fill(shape, "evenodd");
  context.globalAlpha = 1;
  strokeTwice(context, shape, screen, colour);
  corners.forEach(([x, y], index) => {
    const dot = new Path2D();
    dot.arc(x, y, (index ? 3 : 5) * screen, 0, 2 * Math.PI);
    context.fillStyle = "#ffffff";
    context.fill(dot);
    strokeTwice(context, dot, screen * 0.7, colour);
  });
}

/** A click on the object is a green disc with a plus, one on what it is not a red one with a minus. */
function paintClicks(context, points, screen) {
  for (const [x, y, label] of points) {
    const disc = new Path2D();
    disc.arc(x, y, 7 * screen, 0, 2 * Math.PI);
    context.fillStyle = label ? "#12b76a" : "#e5484d";
    context.fill(disc);
    const sign = new Path2D();
    sign.moveTo(x - 3.5 * screen, y);
    sign.lineTo(x + 3.5 * screen, y);
    if (label) {
      sign.moveTo(x, y - 3.5 * screen);
      sign.lineTo(x, y + 3.5 * screen);
    }
    context.strokeStyle = "#ffffff";
    context.lineWidth = 1.8 * screen;
    context.stroke(disc);
    context.stroke(sign);
  }
}

/** A line that is seen on light and on dark. */
function strokeTwice(context, shape, screen, colour) {
  context.lineJoin = "round";
  for (const [style, width] of [["rgba(0, 0, 0, 0.75)", 3.5], [colour, 1.6]]) {
    context.strokeStyle = style;
    context.lineWidth = width * screen;
    context.stroke(shape);
  }
}

export function strokePath(context, path, { scale }, { ratio }, colour, dash = []) {
  const screen = ratio / scale;
  context.save();
  context.setLineDash(dash.map((length) => length * screen));
  strokeTwice(context, path, screen, colour);
  context.restore();
}

function next(values, value) {
  return values[(values.indexOf(value) + 1) % values.length];
}

function middleOf({ width, height }) {
  return [width / 2, height / 2];
}

/** The tight box [x, y, w, h] of a mask; null where it is empty. */
function boxOf({ width, pixels }) {
  let area = null;
  let at = pixels.indexOf(1);
  while (at >= 0) {
    const y = Math.floor(at / width);
    const last = pixels.lastIndexOf(1, (y + 1) * width - 1);
    area = joined(area, [at - y * width, y, last - y * width + 1, y + 1]);
    at = pixels.indexOf(1, (y + 1) * width);
  }
  return area && [area[0], area[1], area[2] - area[0], area[3] - area[1]];
}
