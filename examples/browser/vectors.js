// The test vectors of the package against prepare.js, in a browser or in Node.

import { NotClean, VERSION, prepare, toGray } from "./prepare.js";

/**
 * @param {{prepare_version: number, vectors: object[]}} file the content of vectors.json
 * @returns {{checked: number, wrong: string[]}} a line for each vector that differs
 */
export function check({ prepare_version: version, vectors }) {
  if (version !== VERSION) throw new Error(`The vectors are of version ${version} of preprocessing. Expected: ${VERSION}.`);
  const wrong = vectors.flatMap((one) => {
    const seen = prepared(one), expected = one.expected && bytes(one.expected);
    if (!seen || !expected) return Boolean(seen) === Boolean(expected) ? [] : [`${one.name}: clean or not? Expected: ${expected ? "clean" : "not clean"}.`];
    const off = seen.filter((level, i) => level !== expected[i]).length;
    return off ? [`${one.name}: ${off} of 784 pixels differ`] : [];
  });
  return { checked: vectors.length, wrong };
}

function prepared({ kind, width, height, channels, pixels }) {
  const data = bytes(pixels);
  try {
    return prepare(channels === 1 ? { width, height, data } : toGray({ width, height, data: rgba(data, channels) }), kind).data;
  } catch (error) {
    if (error instanceof NotClean) return null;
    throw error;
  }
}

/** Four bytes a pixel, as a canvas gives them. */
function rgba(data, channels) {
  const opaque = (i) => data[Math.floor(i / 4) * 3 + (i % 4)];
  return channels === 4 ? data : Uint8Array.from({ length: (data.length / 3) * 4 }, (_, i) => (i % 4 === 3 ? 255 : opaque(i)));
}

function bytes(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
