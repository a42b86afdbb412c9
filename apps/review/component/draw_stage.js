// The table that one draws on: the picture, the masks over it, and what follows the pointer, each on a canvas of its own,
// so that a moving pointer paints no picture. Zoom and pan; points in the picture's pixels.

import { fitted, moved, nearFrame, wholeFrame, zoomed } from "./camera.js";
import { element } from "./elements.js";

export const CONTRASTS = [1, 1.5, 2.2];
/** Enlarged beyond this, a pixel shows as a pixel. */
const SHARP_SCALE = 3;

export class Stage {
  /** `painters`: {mask(context, transform, stage), top(context, transform, stage)}, called when something changed. */
  constructor(label, painters) {
    this.painters = painters;
    const layer = (name) => element("canvas", { class: name, "aria-hidden": "true" });
    this.layers = { picture: layer("picture"), mask: layer("mask"), top: layer("top") };
    this.box = element(
      "div",
      { class: "stage", role: "application", tabindex: "0", "aria-label": label },
      ...Object.values(this.layers),
    );
    this.scene = null;
    this.transform = { scale: 1, x: 0, y: 0 };
    this.contrast = 1;
    this.stale = new Set();
    this.observer = new ResizeObserver(() => this.#resize());
    this.observer.observe(this.box);
    this.box.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  close() {
    this.observer.disconnect();
    this.scene = null;
  }

  /** `scene`: {picture: {full, reduced} or null, width, height}; `box` [x, y, w, h] is zoomed to where one is given. */
  show(scene, box = null) {
    this.scene = scene;
    this.#resize();
    this.fit(box);
  }

  /** Show the surroundings of a box, or the whole picture. */
  fit(box = null) {
    this.fittedTo = { box };
    const { width, height } = this.layers.top;
    const near = box && fitted(nearFrame({ ...this.scene, box }, width / height), width, height);
    const whole = fitted(wholeFrame(this.scene), width, height);
    this.transform = near && near.scale > whole.scale ? near : whole;
    this.changed();
  }

  /** One pixel of the picture is one of the screen, around the middle of what is shown. */
  actualSize() {
    const { width, height } = this.layers.top;
    const [x, y] = this.#middle();
    const round = (value) => Math.round(value);
    this.transform = {
      scale: this.ratio,
      x: round(width / 2 - this.ratio * round(x)),
      y: round(height / 2 - this.ratio * round(y)),
    };
    this.pan(0, 0);
  }

  /** Around a point of the canvas, or its middle. */
  zoom(factor, px = this.layers.top.width / 2, py = this.layers.top.height / 2) {
    const { width, height } = this.layers.top;
    const whole = fitted(wholeFrame(this.scene), width, height).scale;
    this.transform = zoomed(this.transform, factor, px, py, whole / 2);
    this.pan(0, 0);
  }

  pan(dx, dy) {
    this.fittedTo = null;
    const { width, height } = this.layers.top;
    this.transform = moved(this.transform, dx, dy, this.scene, width, height);
    this.changed();
  }

  /** Bring a point into sight. */
  follow([x, y]) {
    const { width, height } = this.layers.top;
    const edge = 40 * this.ratio;
    const px = this.transform.scale * x + this.transform.x;
    const py = this.transform.scale * y + this.transform.y;
    const dx = Math.max(0, edge - px) - Math.max(0, px - (width - edge));
    const dy = Math.max(0, edge - py) - Math.max(0, py - (height - edge));
    if (dx || dy) this.pan(dx, dy);
  }

  setContrast(contrast) {
    this.contrast = contrast;
    this.layers.picture.style.filter = contrast === 1 ? "" : `contrast(${contrast})`;
  }

  /** Where a pointer event lies in the picture. */
  point(event) {
    const [px, py] = this.#onCanvas(event);
    return [(px - this.transform.x) / this.transform.scale, (py - this.transform.y) / this.transform.scale];
  }

  isInside([x, y]) {
    return x >= 0 && y >= 0 && x < this.scene.width && y < this.scene.height;
  }

  /** Paint these layers with the next frame; all of them where none is named. */
  changed(...layers) {
    const isFirst = !this.stale.size;
    for (const layer of layers.length ? layers : Object.keys(this.layers)) this.stale.add(layer);
    if (isFirst) requestAnimationFrame(() => this.#paint());
  }

  #middle() {
    const { width, height } = this.layers.top;
    const { scale, x, y } = this.transform;
    return [(width / 2 - x) / scale, (height / 2 - y) / scale];
  }

  #onCanvas(event) {
    const bounds = this.box.getBoundingClientRect();
    return [(event.clientX - bounds.left) * this.ratio, (event.clientY - bounds.top) * this.ratio];
  }

  #wheel(event) {
    event.preventDefault();
    if (!this.scene) return;
    const by = event.deltaY || event.deltaX; // with Shift, browsers turn the wheel sideways
    if ((event.shiftKey || event.altKey) && this.onSizeWheel) {
      this.onSizeWheel(by < 0 ? 1 : -1);
      return;
    }
    const lines = event.deltaMode === 1 ? 30 : 1;
    this.zoom(Math.exp((-by * lines) / 400), ...this.#onCanvas(event));
  }

  #resize() {
    this.ratio = window.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(this.box.clientWidth * this.ratio));
    const height = Math.max(1, Math.round(this.box.clientHeight * this.ratio));
    const { top } = this.layers;
    if (width === top.width && height === top.height) return;
    const [dx, dy] = [(width - top.width) / 2, (height - top.height) / 2];
    for (const canvas of Object.values(this.layers)) Object.assign(canvas, { width, height });
    if (!this.scene) return;
    if (this.fittedTo) this.fit(this.fittedTo.box);
    else this.pan(dx, dy);
  }

  #paint() {
    const stale = [...this.stale];
    this.stale.clear();
    if (!this.scene) return;
    const { scale, x, y } = this.transform;
    for (const layer of stale) {
      const canvas = this.layers[layer];
      const context = canvas.getContext("2d");
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, canvas.width, canvas.height);
      context.setTransform(scale, 0, 0, scale, x, y);
      if (layer === "picture") paintPicture(context, this.scene, scale);
      else this.painters[layer](context, this.transform, this);
    }
    // Tests, and whoever scripts the page, find here where the picture lies.
    this.box.dataset.view = JSON.stringify({ scale: scale / this.ratio, x: x / this.ratio, y: y / this.ratio });
  }
}

function paintPicture(context, { picture, width, height }, scale) {
  if (!picture) return;
  const isSmall = picture.reduced && scale <= picture.reduced.width / width;
  context.imageSmoothingEnabled = scale < SHARP_SCALE;
  context.drawImage(isSmall ? picture.reduced : picture.full, 0, 0, width, height);
}

/** A bitmap as a canvas of one colour, kept up to date rectangle by rectangle. */
export class Overlay {
  constructor(bitmap, colour) {
    this.bitmap = bitmap;
    this.canvas = element("canvas", { width: bitmap.width, height: bitmap.height });
    this.context = this.canvas.getContext("2d");
    this.colour = colour;
    this.update([0, 0, bitmap.width, bitmap.height]);
  }

  recolour(colour) {
    this.colour = colour;
    this.update([0, 0, this.bitmap.width, this.bitmap.height]);
  }

  update(rect) {
    if (!rect) return;
    const [left, top, right, bottom] = rect;
    const data = this.context.createImageData(right - left, bottom - top);
    const words = new Uint32Array(data.data.buffer);
    const { width, pixels } = this.bitmap;
    const word = little(this.colour);
    for (let y = top, to = 0; y < bottom; y += 1) {
      for (let at = y * width + left, stop = y * width + right; at < stop; at += 1, to += 1) {
        if (pixels[at]) words[to] = word;
      }
    }
    this.context.putImageData(data, left, top);
  }
}

/** A colour #rrggbb as it lies in image data. */
function little(colour) {
  const value = Number.parseInt(colour.slice(1), 16);
  const [red, green, blue] = [value >> 16, (value >> 8) & 255, value & 255];
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

const RING = [[-1, 0], [1, 0], [0, -1], [0, 1], [-0.7, -0.7], [0.7, -0.7], [-0.7, 0.7], [0.7, 0.7]];
let scratch = null;

/** Paint an overlay: a fill, and an outline that is as thick at every zoom. `look`: {style, opacity}. */
export function paintOverlay(context, overlay, { scale, x, y }, stage, look) {
  context.imageSmoothingEnabled = false;
  if (look.style !== "outline") {
    context.globalAlpha = look.opacity;
    context.drawImage(overlay.canvas, 0, 0);
    context.globalAlpha = 1;
  }
  if (look.style === "fill") return;
  const { width, height } = context.canvas;
  scratch ??= element("canvas");
  if (scratch.width !== width || scratch.height !== height) Object.assign(scratch, { width, height });
  const ring = scratch.getContext("2d");
  const place = (dx, dy) => {
    ring.setTransform(scale, 0, 0, scale, x + dx, y + dy);
    ring.drawImage(overlay.canvas, 0, 0);
  };
  ring.setTransform(1, 0, 0, 1, 0, 0);
  ring.globalCompositeOperation = "source-over";
  ring.clearRect(0, 0, width, height);
  ring.imageSmoothingEnabled = false;
  const thickness = 2 * stage.ratio;
  for (const [dx, dy] of RING) place(dx * thickness, dy * thickness);
  ring.globalCompositeOperation = "destination-out";
  place(0, 0);
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.drawImage(scratch, 0, 0);
  context.setTransform(scale, 0, 0, scale, x, y);
}
