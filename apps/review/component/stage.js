// The large view in the middle, with zoom and pan, and the rail of the five views beside it.

import { moved, zoomed } from "./camera.js";
import { element, keyButton } from "./elements.js";
import { Canvas, VIEWS } from "./views.js";

/** What the tools over the picture do, with the keys that do the same. */
const TOOLS = [
  { label: "zoom", key: "e", act: "near", title: "Zoom to the mask, and back" },
  { label: "outline", key: "o", act: "style", title: "Outline, fill, or both" },
  { label: "contrast", key: "c", act: "contrast", title: "Contrast of the picture" },
  { label: "colour", key: "k", act: "colour", title: "Colour of the mask" },
  { label: "fit", key: "x", act: "fit", title: "Fit again" },
];

export class Stage {
  /** `choose(name)` makes a view the large one; `act(name)` does what a key would do. */
  constructor(choose, act) {
    this.large = new Canvas("The mask over its picture");
    this.title = element("span", { class: "view-title" });
    this.hint = element("span", { class: "small-hint", hidden: true }, "small mask: pixelation is no error");
    this.message = element("div", { class: "message", hidden: true });
    this.banner = element("div", { class: "banner", hidden: true });
    this.tools = element("div", { class: "tools", role: "group", "aria-label": "Look" }, ...tools(act));
    const over = [this.title, this.hint, this.tools, this.banner, this.message];
    this.box = element("div", { class: "stage" }, this.large.box, ...over);
    this.thumbs = VIEWS.map((view) => thumb(view, choose));
    this.rail = element("div", { class: "rail", role: "group", "aria-label": "Views" }, ...this.thumbs.map((t) => t.button));
    this.scene = null;
    this.transform = null;
    this.#listen();
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.box);
  }

  /** Show a mask: `scene` is {task, picture}. The frame of the last one is forgotten. */
  show(scene, preferences) {
    this.scene = scene;
    this.transform = null;
    this.paint(preferences);
  }

  /** Paint the large view and the rail. `hidesMask`: while the reviewer looks under it. */
  paint(preferences, hidesMask = false) {
    this.preferences = preferences;
    if (!this.scene) return;
    this.large.resize();
    for (const thumb of this.thumbs) thumb.canvas.resize();
    const view = this.view;
    this.transform ??= this.large.fit(view, this.scene.task);
    const seen = hidesMask ? { ...view, mask: false, picture: true } : view;
    this.large.paint(seen, this.scene, this.transform, preferences);
    this.title.textContent = hidesMask ? "Mask hidden" : view.title;
    this.hint.hidden = !this.scene.task.is_small;
    for (const { view: own, canvas, button } of this.thumbs) {
      canvas.paint(own, this.scene, canvas.fit(own, this.scene.task), preferences);
      button.setAttribute("aria-pressed", String(own === view));
    }
  }

  get view() {
    return VIEWS.find(({ name }) => name === this.preferences.view) ?? VIEWS[0];
  }

  blank() {
    this.scene = null;
    for (const canvas of [this.large, ...this.thumbs.map((thumb) => thumb.canvas)]) canvas.blank();
  }

  /** Words over the stage, in place of a mask; null takes them away. */
  say(...children) {
    this.message.replaceChildren(...children.filter(Boolean));
    this.message.hidden = !this.message.childNodes.length;
    this.tools.hidden = !this.message.hidden;
  }

  note(text) {
    this.banner.textContent = text ?? "";
    this.banner.hidden = !text;
  }

  fit() {
    this.transform = null;
    this.paint(this.preferences);
  }

  zoom(factor, x = this.large.width / 2, y = this.large.height / 2) {
    if (!this.scene) return;
    const least = 0.5 * this.large.fit(VIEWS[0], this.scene.task).scale;
    this.transform = zoomed(this.transform, factor, x, y, least);
    this.paint(this.preferences);
  }

  pan(dx, dy) {
    if (!this.scene) return;
    this.transform = moved(this.transform, dx, dy, this.scene.task, this.large.width, this.large.height);
    this.paint(this.preferences);
  }

  /** Move by a part of what is seen. */
  step(x, y) {
    this.pan(0.15 * x * this.large.width, 0.15 * y * this.large.height);
  }

  resize() {
    if (!this.scene) return;
    if (this.large.resize()) this.transform = null;
    this.paint(this.preferences);
  }

  close() {
    this.observer.disconnect();
  }

  #listen() {
    const box = this.large.box;
    box.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    box.addEventListener("dblclick", () => this.fit());
    box.addEventListener("pointerdown", (event) => {
      if (event.button === 0) box.setPointerCapture(event.pointerId);
    });
    box.addEventListener("pointermove", (event) => {
      if (!box.hasPointerCapture(event.pointerId)) return;
      this.pan(event.movementX * this.large.ratio, event.movementY * this.large.ratio);
    });
  }

  #wheel(event) {
    event.preventDefault();
    const { left, top } = this.large.box.getBoundingClientRect();
    const ratio = this.large.ratio;
    const lines = event.deltaMode === 1 ? 30 : 1; // Firefox counts lines
    this.zoom(Math.exp(-0.0015 * lines * event.deltaY), (event.clientX - left) * ratio, (event.clientY - top) * ratio);
  }
}

function tools(act) {
  const peek = element("span", { class: "peek", title: "Hold the space bar: hide the mask" }, "hide", element("kbd", {}, "space"));
  const buttons = TOOLS.map(({ label, key, act: name, title }) =>
    keyButton({ label, key, title, action: () => act(name), class: "tool" }),
  );
  return [...buttons, peek];
}

function thumb(view, choose) {
  const canvas = new Canvas(view.title);
  canvas.mask.setAttribute("aria-hidden", "true");
  const attributes = { type: "button", class: "thumb", title: view.title, on: { click: () => choose(view.name) } };
  const button = element("button", attributes, canvas.box, element("span", { class: "name" }, view.title));
  return { view, canvas, button };
}
