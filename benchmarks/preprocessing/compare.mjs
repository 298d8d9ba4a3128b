// Prepares the sets of compare.py with the JavaScript of examples/browser: `node compare.mjs FOLDER`.
// In: NAME.in, six numbers (N, H, W, channels, bytes of each result, 1 for `plain`) and the pixels. Out: NAME.js, of each
// picture one byte, whether it is clean, and its 784 pixels; of colour pictures the gray levels.

import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { NotClean, prepare, toGray } from "../../examples/browser/prepare.js";

const [, , folder] = process.argv;

for (const name of readdirSync(folder).filter((name) => name.endsWith(".in"))) {
  const file = readFileSync(`${folder}/${name}`);
  const [n, height, width, channels, size, plain] = [0, 1, 2, 3, 4, 5].map((i) => file.readUInt32LE(4 * i));
  const length = height * width * channels, out = new Uint8Array(n * (1 + size));
  for (let i = 0; i < n; i++) {
    const data = new Uint8Array(file.subarray(24 + i * length, 24 + (i + 1) * length));
    const result = answer({ width, height, data }, channels, plain);
    if (result) out.set([1, ...result], i * (1 + size));
  }
  writeFileSync(`${folder}/${name.replace(/in$/, "js")}`, out);
}

function answer(image, channels, plain) {
  if (channels === 4) return toGray(image).data;
  try {
    return prepare(image, plain ? "plain" : "ink").data;
  } catch (error) {
    if (error instanceof NotClean) return null;
    throw error;
  }
}
