// Pictures, fetched and decoded ahead of the mask that is shown.

/** Longest side, in pixels, of the reduced picture that whole views are painted from. */
const REDUCED_PX = 1400;
/** Pixels kept decoded, 4 bytes each: about 12 pictures of 1500 × 2250. */
const MOST_PX = 40e6;
const AT_ONCE = 2;

export class Pictures {
  #server;
  #held = new Map(); // imageId -> {ready: Promise, picture, error, px}, least recently used first
  #waiting = [];
  #nAtWork = 0;

  constructor(server) {
    this.#server = server;
  }

  /** The picture if it is decoded, else null. One that failed before is forgotten, so that it is tried again. */
  now(imageId) {
    const held = this.#held.get(imageId);
    if (held?.error) this.forget(imageId);
    return held?.picture ?? null;
  }

  /** A promise of {full, reduced}: bitmaps, `reduced` null where the picture is small anyway. */
  get(imageId) {
    return this.#want(imageId, true);
  }

  /** Fetch these pictures in this order, as far as there is room; the first is needed first. */
  ahead(tasks) {
    let px = 0;
    const wanted = [];
    for (const task of tasks) {
      px += task.width * task.height;
      if (px > MOST_PX * 0.6 && wanted.length >= 2) break;
      if (!wanted.includes(task.image)) wanted.push(task.image);
    }
    this.#waiting = this.#waiting.filter((imageId) => {
      const isWanted = wanted.includes(imageId) || this.#held.get(imageId)?.isUrgent;
      if (!isWanted) this.#held.delete(imageId);
      return isWanted;
    });
    for (const imageId of wanted) this.#want(imageId, false);
  }

  /** Forget a picture that failed, so that it is fetched again. */
  forget(imageId) {
    this.#held.delete(imageId);
  }

  #want(imageId, isUrgent) {
    let held = this.#held.get(imageId);
    if (held) {
      this.#held.delete(imageId);
    } else {
      held = { px: 0 };
      held.ready = new Promise((resolve, reject) => Object.assign(held, { resolve, reject }));
      held.ready.catch(() => {}); // told by whoever asks for it
      this.#waiting.push(imageId);
    }
    this.#held.set(imageId, held);
    held.isUrgent ||= isUrgent;
    const place = this.#waiting.indexOf(imageId);
    if (isUrgent && place > 0) this.#waiting.unshift(...this.#waiting.splice(place, 1));
    this.#work();
    return held.ready;
  }

  #work() {
    while (this.#nAtWork < AT_ONCE && this.#waiting.length) {
      const imageId = this.#waiting.shift();
      this.#nAtWork += 1;
      this.#fetch(imageId, this.#held.get(imageId)).finally(() => {
        this.#nAtWork -= 1;
        this.#work();
      });
    }
  }

  async #fetch(imageId, held) {
    try {
      const blob = await this.#server.picture(imageId);
      held.picture = await decoded(blob);
      held.px = held.picture.full.width * held.picture.full.height;
      held.resolve(held.picture);
      this.#makeRoom();
    } catch (error) {
      held.error = error;
      held.reject(error);
    }
  }

  #makeRoom() {
    let px = 0;
    for (const held of this.#held.values()) px += held.px;
    for (const [imageId, held] of this.#held) {
      if (px <= MOST_PX || this.#held.size <= 3) return;
      if (!held.picture) continue;
      px -= held.px;
      this.#held.delete(imageId);
    }
  }
}

/** Both sizes of a picture, decoded away from the page's own thread. */
async function decoded(blob) {
  const full = await createImageBitmap(blob);
  const scale = REDUCED_PX / Math.max(full.width, full.height);
  if (scale >= 1) return { full, reduced: null };
  const reduced = await createImageBitmap(blob, {
    resizeWidth: Math.round(full.width * scale),
    resizeHeight: Math.round(full.height * scale),
    resizeQuality: "medium",
  });
  return { full, reduced };
}
