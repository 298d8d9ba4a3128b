// Compare prepare.js with the test vectors: `node check.js [vectors.json]`. Exit code 1: at least one of them differs.

import { readFileSync } from "node:fs";
import { check } from "./vectors.js";

const file = process.argv[2] ?? new URL("../../src/inkdigit/picture/vectors.json", import.meta.url);
const { checked, wrong } = check(JSON.parse(readFileSync(file, "utf8")));
for (const one of wrong) console.error(one);
console.log(`${checked - wrong.length} of ${checked} test vectors are the same, bit for bit`);
process.exitCode = wrong.length ? 1 : 0;
