// SAM's five views of a mask (appendix E), each painted on two canvases: the picture, and the mask over it.

import { fitted, nearFrame, wholeFrame } from "./camera.js";
import { element } from "./elements.js";

/** In the order of the rail. `near`: zoomed to the mask; `picture`, `mask`: what is painted. */
export const VIEWS = [
  { name: "overlay", title: "Overlay", near: false, picture: true, mask: true },
  { name: "near-overlay", title: "Zoomed, with mask", near: true, picture: true, mask: true },
  { name: "image", title: "Image", near: false, picture: true, mask: false },
  { name: "near-image", title: "Zoomed, no mask", near: true, picture: true, mask: false },
  { name: "mask", title: "Mask alone", near: false, picture: false, mask: true },
];

export const COLOURS = ["#ff2d8a", "#00d5ff", "#ffd60a", "#7cff4f"];
/** How a mask is drawn over the picture. */
export const STYLES = ["both", "outline", "fill"];
export const CONTRASTS = [1, 1.5, 2.2];
const HALO = "rgba(0, 0, 0, 0.75)";

/** Two canvases of one view. `pixels`: the size of their bitmap. */
export class Canvas {
  constructor(label) {
    this.picture = element("canvas", { class: "picture", "aria-hidden": "true" });
    this.mask = element("canvas", { class: "mask", role: "img", "aria-label": label });
    this.box = element("div", { class: "canvas" }, this.picture, this.mask);
  }

  /** Match the bitmaps to the size on the screen; true where that changed. */
  resize() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(this.box.clientWidth * ratio));
    const height = Math.max(1, Math.round(this.box.clientHeight * ratio));
    if (width === this.width && height === this.height) return false;
    for (const canvas of [this.picture, this.mask]) Object.assign(canvas, { width, height });
    Object.assign(this, { width, height, ratio });
    return true;
  }

  /** The transform that a view starts with. */
  fit(view, task) {
    const frame = view.near ? nearFrame(task, this.width / this.height) : wholeFrame(task);
    return fitted(frame, this.width, this.height);
  }

  /** Paint a view of `scene` {task, picture}, through `transform`, in the `look` that the reviewer chose. */
  paint(view, scene, transform, look) {
    const picture = this.#clear(this.picture, transform);
    const mask = this.#clear(this.mask, transform);
    this.picture.style.filter = look.contrast === 1 ? "" : `contrast(${look.contrast})`;
    if (view.picture) paintPicture(picture, scene, transform);
    else paintGround(picture, scene.task);
    if (!view.mask) return;
    if (view.picture) paintMask(mask, scene.task.path, transform.scale, this.#thickness(), look);
    else paintShape(mask, scene.task.path);
  }

  blank() {
    for (const canvas of [this.picture, this.mask]) this.#clear(canvas, { scale: 1, x: 0, y: 0 });
  }

  #thickness() {
    return (this.width > 300 * this.ratio ? 2 : 1) * this.ratio;
  }

  #clear(canvas, { scale, x, y }) {
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.setTransform(scale, 0, 0, scale, x, y);
    return context;
  }
}

function paintPicture(context, { task, picture }, { scale }) {
  const reducedBy = picture.reduced ? picture.reduced.width / task.width : 1;
  const source = picture.reduced && scale <= reducedBy ? picture.reduced : picture.full;
  // Enlarged, a pixel shows as a pixel: where the mask's edge lies must be seen.
  context.imageSmoothingEnabled = scale < 3;
  context.imageSmoothingQuality = "low";
  context.drawImage(source, 0, 0, task.width, task.height);
}

function paintGround(context, task) {
  context.fillStyle = "#14161a";
  context.fillRect(0, 0, task.width, task.height);
}

function paintShape(context, path) {
  context.fillStyle = "#f4f6fa";
  context.fill(path, "evenodd");
}

function paintMask(context, path, scale, thickness, look) {
  if (look.style !== "outline") {
    context.globalAlpha = look.opacity;
    context.fillStyle = look.colour;
    context.fill(path, "evenodd");
    context.globalAlpha = 1;
  }
  if (look.style === "fill") return;
  context.lineJoin = "round";
  for (const [colour, width] of [[HALO, 1.8 * thickness], [look.colour, thickness]]) {
    context.strokeStyle = colour;
    context.lineWidth = width / scale;
    context.stroke(path);
  }
}
