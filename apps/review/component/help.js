// All keys, on one card.

import { element } from "./elements.js";
import { GROUPS } from "./keys.js";

export class Help {
  constructor(closed, groups = GROUPS) {
    const close = element("button", { type: "button", class: "close", on: { click: () => this.close() } }, "Close");
    this.box = element(
      "dialog",
      { class: "help", "aria-labelledby": "help-title", on: { close: closed } },
      element("header", {}, element("h2", { id: "help-title" }, "Keys"), close),
      element("div", { class: "groups" }, ...groups.map(group)),
    );
  }

  toggle() {
    if (this.box.open) this.close();
    else this.box.showModal();
  }

  close() {
    this.box.close();
  }

  get isOpen() {
    return this.box.open;
  }
}

function group({ title, keys }) {
  const rows = keys.flatMap(({ keys: names, says }) => [
    element("dt", {}, ...names.map((name) => element("kbd", {}, name))),
    element("dd", {}, says),
  ]);
  return element("section", {}, element("h3", {}, title), element("dl", {}, ...rows));
}
