// A mask as pixels: what tools change, and what of it is undone. Full resolution, typed arrays, no canvas.
// A rectangle is [left, top, right, bottom] in pixels, right and bottom exclusive; null is an empty one.

import { runLengths } from "./outline.js";

/** Row-major pixels, each 0 or 1. */
export class Bitmap {
  constructor(width, height, pixels = new Uint8Array(width * height)) {
    Object.assign(this, { width, height, pixels });
  }

  static fromRle(text, width, height) {
    const bitmap = new Bitmap(width, height);
    const { pixels } = bitmap;
    let position = 0;
    runLengths(text).forEach((count, index) => {
      if (index % 2 === 0) {
        position += count;
        return;
      }
      let y = position % height;
      let at = y * width + (position - y) / height;
      for (const stop = position + count; position < stop; position += 1) {
        pixels[at] = 1;
        y += 1;
        at += width;
        if (y === height) {
          y = 0;
          at += 1 - width * height;
        }
      }
    });
    return bitmap;
  }

  copy() {
    return new Bitmap(this.width, this.height, this.pixels.slice());
  }

  get isEmpty() {
    return !this.pixels.includes(1);
  }

  /** The pixel that a point of the picture lies in, kept inside. */
  pixelAt(x, y) {
    return [clamp(Math.floor(x), 0, this.width - 1), clamp(Math.floor(y), 0, this.height - 1)];
  }
}

// ---------------------------------------------------------------------------------------------- run lengths

/** COCO's compressed run lengths: down the columns, background first. */
export function toRle({ width, height, pixels }) {
  const counts = [];
  let value = 0;
  let run = 0;
  for (let x = 0; x < width; x += 1) {
    for (let at = x, y = 0; y < height; y += 1, at += width) {
      if (pixels[at] !== value) {
        counts.push(run);
        run = 0;
        value ^= 1;
      }
      run += 1;
    }
  }
  counts.push(run);
  return counts.map((count, index) => chars(index > 2 ? count - counts[index - 2] : count)).join("");
}

/** A number in groups of five bits, lowest first; bit 32 of a character says that more follow. */
function chars(value) {
  let text = "";
  for (let hasMore = true; hasMore; ) {
    let bits = value & 0x1f;
    value >>= 5;
    hasMore = bits & 0x10 ? value !== -1 : value !== 0;
    if (hasMore) bits |= 0x20;
    text += String.fromCharCode(bits + 48);
  }
  return text;
}

// ---------------------------------------------------------------------------------------------- tools

/**
 * Set the pixels whose centre is within half a `diameter` of the way from (x0, y0) to (x1, y1), and the pixel under
 * its end: a brush of one pixel never misses.
 */
export function stroke(bitmap, [x0, y0], [x1, y1], diameter, value) {
  const { width, height, pixels } = bitmap;
  const radius = diameter / 2;
  const left = clamp(Math.floor(Math.min(x0, x1) - radius), 0, width);
  const right = clamp(Math.ceil(Math.max(x0, x1) + radius), 0, width);
  const top = clamp(Math.floor(Math.min(y0, y1) - radius), 0, height);
  const bottom = clamp(Math.ceil(Math.max(y0, y1) + radius), 0, height);
  const dx = x1 - x0;
  const dy = y1 - y0;
  const length2 = dx * dx + dy * dy;
  for (let y = top; y < bottom; y += 1) {
    for (let x = left; x < right; x += 1) {
      const px = x + 0.5 - x0;
      const py = y + 0.5 - y0;
      const along = length2 ? clamp((px * dx + py * dy) / length2, 0, 1) : 0;
      const ex = px - along * dx;
      const ey = py - along * dy;
      if (ex * ex + ey * ey <= radius * radius) pixels[y * width + x] = value;
    }
  }
  if (x1 < 0 || y1 < 0 || x1 >= width || y1 >= height) return rect(left, top, right, bottom);
  const [x, y] = bitmap.pixelAt(x1, y1);
  pixels[y * width + x] = value;
  return joined(rect(left, top, right, bottom), [x, y, x + 1, y + 1]);
}

/** Set the pixels whose centre lies inside a polygon of points [[x, y], …], by the even-odd rule. */
export function polygon(bitmap, points, value) {
  const { width, height, pixels } = bitmap;
  const ys = points.map((point) => point[1]);
  const top = clamp(Math.floor(Math.min(...ys)), 0, height);
  const bottom = clamp(Math.ceil(Math.max(...ys)), 0, height);
  for (let y = top; y < bottom; y += 1) {
    const at = crossings(points, y + 0.5);
    for (let k = 0; k + 1 < at.length; k += 2) {
      const first = clamp(Math.ceil(at[k] - 0.5), 0, width);
      const stop = clamp(Math.ceil(at[k + 1] - 0.5), 0, width);
      if (first < stop) pixels.fill(value, y * width + first, y * width + stop);
    }
  }
  const xs = points.map((point) => point[0]);
  const left = clamp(Math.floor(Math.min(...xs)), 0, width);
  return rect(left, top, clamp(Math.ceil(Math.max(...xs)), 0, width), bottom);
}

/** Where the polygon's sides cross the line at height `y`, ascending. */
function crossings(points, y) {
  const found = [];
  points.forEach(([x1, y1], index) => {
    const [x0, y0] = points[(index + points.length - 1) % points.length];
    if (y0 <= y !== y1 <= y) found.push(x0 + ((y - y0) * (x1 - x0)) / (y1 - y0));
  });
  return found.sort((a, b) => a - b);
}

/**
 * The connected region around a pixel: 8-connected where it is mask, 4-connected where it is background.
 * `spans`: [y, first, stop, …]; `isOpen`: it reaches the picture's border; `n`: pixels.
 */
export function region({ width, height, pixels }, x, y) {
  const value = pixels[y * width + x];
  const reach = value;
  const seen = new Uint8Array(pixels.length);
  const spans = [];
  const stack = [y * width + x];
  let [left, right, top, bottom, n] = [x, x, y, y, 0];
  while (stack.length) {
    const at = stack.pop();
    if (seen[at]) continue;
    const row = at - (at % width);
    let first = at;
    while (first > row && pixels[first - 1] === value) first -= 1;
    let stop = at + 1;
    while (stop < row + width && pixels[stop] === value) stop += 1;
    seen.fill(1, first, stop);
    const line = row / width;
    spans.push(line, first - row, stop - row);
    n += stop - first;
    left = Math.min(left, first - row);
    right = Math.max(right, stop - row);
    top = Math.min(top, line);
    bottom = Math.max(bottom, line + 1);
    for (const next of [row - width, row + width]) {
      if (next < 0 || next >= pixels.length) continue;
      const last = Math.min(stop - row + reach, width);
      let wasInside = false;
      for (let k = Math.max(first - row - reach, 0); k < last; k += 1) {
        const isInside = pixels[next + k] === value && !seen[next + k];
        if (isInside && !wasInside) stack.push(next + k);
        wasInside = isInside;
      }
    }
  }
  const isOpen = left === 0 || top === 0 || right === width || bottom === height;
  return { spans, rect: [left, top, right, bottom], isOpen, n };
}

export function paintRegion({ width, pixels }, found, value) {
  const { spans } = found;
  for (let k = 0; k < spans.length; k += 3) {
    pixels.fill(value, spans[k] * width + spans[k + 1], spans[k] * width + spans[k + 2]);
  }
  return found.rect;
}

/** What a prediction makes of the mask that was there: it takes its place, is added, or is cut out. */
export function combined(base, predicted, how) {
  if (how === "replace") return predicted;
  const made = base.copy();
  for (let at = 0; at < made.pixels.length; at += 1) {
    if (predicted.pixels[at]) made.pixels[at] = how === "add" ? 1 : 0;
  }
  return made;
}

// ---------------------------------------------------------------------------------------------- undo

/** Pixels inside `area` that differ, as runs [first, length, …] of row-major positions. */
export function changes(before, after, [left, top, right, bottom]) {
  const { width } = after;
  const [a, b] = [before.pixels, after.pixels];
  const runs = [];
  for (let y = top; y < bottom; y += 1) {
    const stop = y * width + right;
    for (let at = y * width + left; at < stop; at += 1) {
      if (a[at] === b[at]) continue;
      const first = at;
      while (at < stop && a[at] !== b[at]) at += 1;
      runs.push(first, at - first);
    }
  }
  return Uint32Array.from(runs);
}

/** Turn the pixels of the runs over: done twice, nothing has happened. Returns the rectangle around them. */
export function turnOver({ width, pixels }, runs) {
  let area = null;
  for (let k = 0; k < runs.length; k += 2) {
    const [first, stop] = [runs[k], runs[k] + runs[k + 1]];
    for (let at = first; at < stop; at += 1) pixels[at] ^= 1;
    const x = first % width;
    const y = (first - x) / width;
    area = joined(area, [x, y, x + stop - first, y + 1]);
  }
  return area;
}

/** Pixels that the mask gained and lost against another. */
export function gainedAndLost(before, after) {
  let gained = 0;
  let lost = 0;
  for (let at = 0; at < after.pixels.length; at += 1) {
    if (after.pixels[at] > before.pixels[at]) gained += 1;
    else if (after.pixels[at] < before.pixels[at]) lost += 1;
  }
  return { gained, lost };
}

export function joined(a, b) {
  if (!a || !b) return a ?? b;
  return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3])];
}

function rect(left, top, right, bottom) {
  return left < right && top < bottom ? [left, top, right, bottom] : null;
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}
