// Small things that every page needs.

/** Whether an event comes from a field that takes text. */
export function isTyping(event) {
  const target = event.composedPath()[0];
  const fields = "input:not([type=checkbox]):not([type=range]), textarea, select, [contenteditable=true], [role=combobox]";
  return target instanceof Element && target.matches(fields);
}

/** A random UUID; `crypto.randomUUID` is missing where a team's page comes without TLS. */
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** What Streamlit calls at every run of a page: the first makes the view, later ones tell it what changed. */
export function mounting(make) {
  const mounted = new WeakMap();
  return ({ data, parentElement }) => {
    let view = mounted.get(parentElement);
    if (view) view.update(data);
    else mounted.set(parentElement, (view = make(data, parentElement)));
    // Streamlit also calls this when a later run overtakes the first; then the view is still there.
    return () => setTimeout(() => view.box.isConnected || view.close());
  };
}

export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
