// Building the page. Text comes in as text: nothing that a label or a note holds is ever read as HTML.

/** An element with attributes (`on` holds listeners, `null` leaves one out) and children: elements or texts. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    } else if (value !== null && value !== undefined && value !== false) {
      made.setAttribute(name, value === true ? "" : value);
    }
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** A button that shows its key. */
export function keyButton({ label, key, action, ...attributes }) {
  return element(
    "button",
    { type: "button", "aria-keyshortcuts": key, on: { click: action }, ...attributes },
    element("span", { class: "label" }, label),
    key ? element("kbd", { "aria-hidden": "true" }, key) : null,
  );
}

/** Words of an identifier: `poor_edge` reads `poor edge`. */
export function words(name) {
  return name.replaceAll("_", " ");
}
