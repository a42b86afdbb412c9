// Which part of the picture a canvas shows, and how large.

const MOST_SCALE = 64; // canvas pixels a picture pixel

/** The frame [x, y, w, h] of the whole picture. */
export function wholeFrame(task) {
  return [0, 0, task.width, task.height];
}

/** The frame around a mask: its box and a margin that shows what it lies in, never outside the picture. */
export function nearFrame(task) {
  const [x, y, w, h] = task.box;
  const margin = Math.max(16, 0.35 * Math.max(w, h));
  const left = Math.max(0, x - margin);
  const top = Math.max(0, y - margin);
  const right = Math.min(task.width, x + w + margin);
  const bottom = Math.min(task.height, y + h + margin);
  return [left, top, right - left, bottom - top];
}

/** The transform {scale, x, y} that shows `frame` as large as it fits in the middle of a canvas. */
export function fitted([x, y, w, h], width, height, margin = 0) {
  const scale = Math.min((width - 2 * margin) / w, (height - 2 * margin) / h, MOST_SCALE);
  return { scale, x: (width - scale * w) / 2 - scale * x, y: (height - scale * h) / 2 - scale * y };
}

/** The transform enlarged by `factor` around the canvas's point (px, py); never smaller than `least`. */
export function zoomed(transform, factor, px, py, least) {
  const scale = Math.min(Math.max(transform.scale * factor, least), MOST_SCALE);
  const real = scale / transform.scale;
  return { scale, x: px - real * (px - transform.x), y: py - real * (py - transform.y) };
}

/** The transform moved by (dx, dy) canvas pixels; some of the picture always stays in sight. */
export function moved(transform, dx, dy, task, width, height) {
  const seen = 48;
  const x = transform.x + dx;
  const y = transform.y + dy;
  return {
    scale: transform.scale,
    x: Math.min(Math.max(x, seen - transform.scale * task.width), width - seen),
    y: Math.min(Math.max(y, seen - transform.scale * task.height), height - seen),
  };
}
