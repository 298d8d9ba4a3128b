// Preprocessing: from the pixels of a clean picture to the 28×28 that the network sees, bit for bit as the package does.
// In: pixels of a picture. Out: {width: 28, height: 28, data: Uint8Array(784)}, ink 255 on 0. Nothing here needs a browser.
// The numbers of the steps are those of docs/preprocessing.md.

/** @typedef {{width: number, height: number, data: Uint8Array}} Gray one byte a pixel, row by row */

export const VERSION = 2; // of the preprocessing: a card with a higher one needs a newer file than this
export const SIDE = 28;
const INK_SIDE = 20; // the longest side of prepared ink
const CLEAN_SIDE = 32; // larger ink must be found first
const STRONG_LEVEL = 200;
const FRAME_SIDE = 12;
const BLOT_EDGE = 2;

/** A picture that is not clean: the ink network must find its ink first. */
export class NotClean extends Error {}

/**
 * Make the 28×28 image of a clean gray picture.
 * @param {Gray} gray @param {"ink" | "plain"} kind as the card says @returns {Gray}
 * @throws {NotClean}
 */
export function prepare(gray, kind = "ink") {
  if (kind === "plain") return fit(gray);
  if (kind !== "ink") throw new RangeError(`Unknown kind of preprocessing ${kind}. Expected: ink or plain.`);
  const found = [gray, inverted(gray)].find(isClean); // step 3
  if (!found) throw new NotClean("The ink of this picture must be found first: it is not clean.");
  return prepareInk(found);
}

/**
 * Steps 4 to 8 alone, for a program that knows the ink: every pixel above 0 is ink, whatever the size.
 * @param {Gray} ink @returns {Gray}
 */
export function prepareInk(ink) {
  const box = inkBox(ink);
  return box ? paste(scale(strengthen(crop(ink, box)))) : blank(SIDE, SIDE);
}

// Step 1: colours → gray -----------------------------------------------------------------------------------------------

/**
 * Gray of the pixels that a canvas gives: on white paper where they are transparent, luminance or the best channel.
 * @param {{width: number, height: number, data: Uint8ClampedArray | Uint8Array}} image four bytes a pixel: RGBA
 * @returns {Gray}
 */
export function toGray({ width, height, data }) {
  const onWhite = onPaper(data, 255);
  let planes = onWhite;
  if (contrast(onWhite) < 40) {
    const onBlack = onPaper(data, 0);
    if (contrast(onBlack) >= 40) planes = onBlack;
  }
  return { width, height, data: oneChannel(planes, width, height) };
}

/** The planes of red, green and blue over an opaque paper of one level, as Pillow's alpha_composite rounds. */
function onPaper(rgba, paper) {
  const planes = [0, 1, 2].map(() => new Uint8Array(rgba.length / 4));
  for (let i = 0; i < planes[0].length; i++) {
    const alpha = rgba[4 * i + 3];
    const over = alpha * 128;
    for (let c = 0; c < 3; c++) {
      const sum = rgba[4 * i + c] * over + paper * (255 * 128 - over) + (128 << 7);
      planes[c][i] = alpha ? (((sum >> 8) + sum) >> 8) >> 7 : paper;
    }
  }
  return planes;
}

function luminance([red, green, blue]) {
  return red.map((r, i) => (r * 19595 + green[i] * 38470 + blue[i] * 7471 + 32768) >> 16);
}

function contrast(planes) {
  let low = 255, high = 0;
  for (const level of luminance(planes)) {
    if (level < low) low = level;
    if (level > high) high = level;
  }
  return high - low;
}

function oneChannel(planes, width, height) {
  const isLarge = Math.min(width, height) > 64;
  const sample = isLarge ? planes.map((data) => resizeBytes({ width, height, data }, 64, 64, BOX).data) : planes;
  const spreads = sample.map((plane) => deviation(plane));
  const best = spreads.indexOf(Math.max(...spreads));
  const [red, green, blue] = sample;
  const mixed = Float64Array.from(red, (r, i) => 0.299 * r + 0.587 * green[i] + 0.114 * blue[i]);
  return spreads[best] > 1.5 * deviation(mixed) ? planes[best] : luminance(planes);
}

function deviation(values) {
  let mean = 0, squares = 0;
  for (const value of values) mean += value / values.length;
  for (const value of values) squares += (value - mean) ** 2 / values.length;
  return Math.sqrt(squares);
}

// Steps 2 and 3: is it clean? ------------------------------------------------------------------------------------------

/** @param {Gray} gray @returns {boolean} whether every pixel above 0 is ink, so that none needs to be found */
export function isClean(gray) {
  const box = inkBox(gray);
  const longest = box ? Math.max(box.width, box.height) : 0;
  if (longest > CLEAN_SIDE) return false;
  if (box && longest !== INK_SIDE - 1 && longest !== INK_SIDE) {
    const ink = crop(gray, box);
    if (isFrame(ink) || !isInOnePiece(ink) || (longest > INK_SIDE && hasBlots(ink))) return false;
  }
  const { width, height, data } = gray;
  const isMnist = width === SIDE && height === SIDE;
  if (isMnist && longest <= INK_SIDE) return true;
  let inked = 0, border = 0;
  const look = (x, y) => ((border += 1), (inked += data[y * width + x] > 0));
  for (let x = 0; x < width; x++) look(x, 0), look(x, height - 1);
  for (let y = 1; y < height - 1; y++) look(0, y), look(width - 1, y);
  return isMnist ? inked <= 10 : 50 * inked < 33 * border;
}

/** All four sides of a crop are ink from end to end, and it is larger than a stroke is thick. */
function isFrame({ width, height, data }) {
  if (Math.min(width, height) < FRAME_SIDE) return false;
  for (let x = 0; x < width; x++) if (!data[x] || !data[(height - 1) * width + x]) return false;
  for (let y = 0; y < height; y++) if (!data[y * width] || !data[y * width + width - 1]) return false;
  return true;
}

/** All ink hangs together; pixels that touch with a corner do. */
function isInOnePiece({ width, height, data }) {
  const left = new Set();
  data.forEach((level, i) => level && left.add(i));
  const [first] = left;
  const waiting = [first];
  left.delete(first);
  while (waiting.length) {
    const at = waiting.pop();
    const x = at % width, y = (at - x) / width;
    for (let ny = Math.max(0, y - 1); ny <= Math.min(height - 1, y + 1); ny++)
      for (let nx = Math.max(0, x - 1); nx <= Math.min(width - 1, x + 1); nx++)
        if (left.delete(ny * width + nx)) waiting.push(ny * width + nx);
  }
  return left.size === 0;
}

/** The faint ink of a crop reaches farther than the soft edge of its strong ink: more than 45 % of the strongest. */
function hasBlots(ink) {
  const strongest = maximum(ink.data);
  const strong = inkBox({ ...ink, data: ink.data.map((level) => (20 * level > 9 * strongest ? 1 : 0)) });
  const right = ink.width - strong.left - strong.width, below = ink.height - strong.top - strong.height;
  return Math.max(strong.left, strong.top, right, below) > BLOT_EDGE;
}

// Steps 4 to 8: crop, strengthen, scale, place -------------------------------------------------------------------------

function inkBox({ width, height, data }) {
  let left = width, right = -1, top = height, bottom = -1;
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      if (data[y * width + x]) {
        left = Math.min(left, x), right = Math.max(right, x);
        top = Math.min(top, y), bottom = y;
      }
  return bottom < 0 ? null : { left, top, width: right - left + 1, height: bottom - top + 1 };
}

function crop(gray, { left, top, width, height }) {
  const out = blank(width, height);
  for (let y = 0; y < height; y++) {
    const from = (top + y) * gray.width + left;
    out.data.set(gray.data.subarray(from, from + width), y * width);
  }
  return out;
}

function strengthen(ink) {
  const strongest = maximum(ink.data);
  if (strongest >= STRONG_LEVEL) return ink;
  const factor = 255 / strongest;
  return { ...ink, data: ink.data.map((level) => roundEven(level * factor)) };
}

function scale(ink) {
  const { width, height } = ink;
  const longest = Math.max(width, height);
  if (longest === INK_SIDE - 1 || longest === INK_SIDE) return ink;
  const [w, h] = [width, height].map((side) => Math.max(1, roundEven((side * INK_SIDE) / longest)));
  const scaled = resizeFloats(ink, w, h);
  const factor = Math.fround(255 / maximum(scaled));
  // What the ink only touches stays ink: 1 at least.
  return { width: w, height: h, data: Uint8Array.from(scaled, (v) => v > 0 ? Math.max(1, roundEven(Math.fround(v * factor))) : 0) };
}

function paste(ink) {
  const { width, height, data } = ink;
  const rows = new Array(height).fill(0), columns = new Array(width).fill(0);
  data.forEach((level, i) => {
    columns[i % width] += level;
    rows[Math.floor(i / width)] += level;
  });
  const top = offset(rows), left = offset(columns);
  const out = blank(SIDE, SIDE);
  for (let y = 0; y < height; y++) out.data.set(data.subarray(y * width, (y + 1) * width), (top + y) * SIDE + left);
  return out;
}

/** Where ink with these sums of its rows (or columns) begins: ceil(14 − centre − ½), inside the image. */
function offset(sums) {
  const total = sums.reduce((a, b) => a + b);
  const moment = sums.reduce((a, b, i) => a + b * i, 0);
  const begin = Math.ceil(((SIDE - 1) * total - 2 * moment) / (2 * total)); // no quotient of so small numbers rounds to a whole one
  return Math.min(Math.max(begin, 0), SIDE - sums.length);
}

/** The kind `plain`: the longest side becomes 28, the rest is 0. */
function fit(gray) {
  const longest = Math.max(gray.width, gray.height);
  const [w, h] = [gray.width, gray.height].map((side) => Math.max(1, roundEven((side * SIDE) / longest)));
  const small = resizeBytes(gray, w, h, TRIANGLE);
  const out = blank(SIDE, SIDE);
  const top = (SIDE - h) >> 1, left = (SIDE - w) >> 1;
  for (let y = 0; y < h; y++) out.data.set(small.data.subarray(y * w, (y + 1) * w), (top + y) * SIDE + left);
  return out;
}

// Resampling, as Pillow's -----------------------------------------------------------------------------------------------

const TRIANGLE = { support: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) };
const BOX = { support: 0.5, at: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) };

/** For each of `to` pixels the first of the `from` pixels that it is made of, and their weights, which add up to 1. */
function weights(from, to, filter) {
  const step = from / to, stretch = Math.max(step, 1), support = filter.support * stretch;
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * step;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(from, Math.trunc(centre + support + 0.5));
    const shares = [];
    for (let j = first; j < end; j++) shares.push(filter.at((j - centre + 0.5) * (1 / stretch)));
    const sum = shares.reduce((a, b) => a + b, 0);
    return { first, shares: shares.map((share) => share / sum) };
  });
}

/** Rows first, then columns; a direction whose length stays is left alone. `Type` holds the sums, `round` makes them. */
function resample({ width, height, data }, w, h, filter, Type, share, start, round) {
  let pixels = data;
  if (w !== width) {
    const out = new Type(w * height);
    weights(width, w, filter).forEach(({ first, shares }, x) => {
      const k = shares.map(share);
      for (let y = 0; y < height; y++) {
        let sum = start;
        for (let j = 0; j < k.length; j++) sum += pixels[y * width + first + j] * k[j];
        out[y * w + x] = round(sum);
      }
    });
    pixels = out;
  }
  if (h !== height) {
    const out = new Type(w * h);
    weights(height, h, filter).forEach(({ first, shares }, y) => {
      const k = shares.map(share);
      for (let x = 0; x < w; x++) {
        let sum = start;
        for (let j = 0; j < k.length; j++) sum += pixels[(first + j) * w + x] * k[j];
        out[y * w + x] = round(sum);
      }
    });
    pixels = out;
  }
  return pixels;
}

/** Sums in double precision, stored as 32-bit floats after each direction. */
function resizeFloats(gray, w, h) {
  const same = (value) => value;
  return Float32Array.from(resample(gray, w, h, TRIANGLE, Float32Array, same, 0, same));
}

/** Weights as whole numbers with 22 bits after the point; each sum is rounded to a byte. */
function resizeBytes(gray, w, h, filter) {
  const byte = (sum) => Math.min(255, Math.max(0, sum >> 22));
  const data = resample(gray, w, h, filter, Uint8Array, (k) => Math.trunc(0.5 + k * 2 ** 22), 2 ** 21, byte);
  return { width: w, height: h, data };
}

// Numbers ----------------------------------------------------------------------------------------------------------------

/** To the nearest whole number, from the middle to the even one. */
function roundEven(value) {
  const below = Math.floor(value), rest = value - below;
  return rest < 0.5 || (rest === 0.5 && below % 2 === 0) ? below : below + 1;
}

function maximum(values) {
  return values.reduce((a, b) => Math.max(a, b), 0);
}

/** @returns {Gray} */
function blank(width, height) {
  return { width, height, data: new Uint8Array(width * height) };
}

/** @param {Gray} gray @returns {Gray} */
function inverted(gray) {
  return { ...gray, data: gray.data.map((level) => 255 - level) };
}
