// Which part of the picture a canvas shows, and how large.

const MOST_SCALE = 64; // canvas pixels a picture pixel

/** The frame [x, y, w, h] of the whole picture. */
export function wholeFrame(task) {
  return [0, 0, task.width, task.height];
}

/**
 * The frame around a mask: its box and a margin that shows what it lies in, widened to `aspect` (width over height)
 * and moved into the picture, so that a mask at the edge leaves no empty canvas.
 */
export function nearFrame(task, aspect) {
  const [x, y, w, h] = task.box;
  const margin = Math.max(16, 0.35 * Math.max(w, h));
  const wanted = Math.max(h + 2 * margin, (w + 2 * margin) / aspect);
  const height = Math.min(wanted, Math.max(task.height, task.width / aspect)); // never smaller than the whole
  const width = aspect * height;
  return [within(x + w / 2, width, task.width), within(y + h / 2, height, task.height), width, height];
}

/** Where a span of `length` around `middle` starts, so that it lies in 0..`whole`, or has it in its middle. */
function within(middle, length, whole) {
  if (length >= whole) return (whole - length) / 2;
  return Math.min(Math.max(middle - length / 2, 0), whole - length);
}

/** The transform {scale, x, y} that shows `frame` as large as it fits in the middle of a canvas. */
export function fitted([x, y, w, h], width, height) {
  const scale = Math.min(width / w, height / h, MOST_SCALE);
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
