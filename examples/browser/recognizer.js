// A model file in ONNX Runtime Web: from a prepared image to a label, a confidence, or the reason for a rejection.
// The rules are those of inkdigit.Recognizer. No other host is asked for anything.

import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs";
import { readCard } from "./card.js";
import { SIDE, VERSION } from "./prepare.js";

ort.env.wasm.numThreads = 1; // networks this small are done before a second thread is awake
const TOLERANCE = { float32: 1e-3, int8: 0.05 }; // of the self test

/** @typedef {{label: ?string, reason: ?string, confidence: ?number, probs: ?number[], score: ?number}} Prediction */

export class Recognizer {
  #session;

  /** @param {string | URL} url of a model file @returns {Promise<Recognizer>} @throws {Error} it cannot be used */
  static async load(url) {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`There is no model at ${url}: status ${response.status}.`);
    const bytes = new Uint8Array(await response.arrayBuffer());
    const model = new Recognizer();
    model.card = readCard(bytes);
    const { version } = model.card.prepare;
    if (version > VERSION) throw new Error(`The model needs version ${version} of preprocessing. Expected: at most ${VERSION}.`);
    model.#session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
    await model.#testItself();
    return model;
  }

  /** @param {{data: Uint8Array}} image 28×28, prepared as the card says @returns {Promise<Prediction>} */
  async predict(image) {
    const { classes, outliers = [], prepare, calibration } = this.card;
    if (prepare.kind === "ink" && !image.data.some(Boolean))
      return { label: null, reason: "no ink", confidence: null, probs: null, score: null };
    const out = await this.#run(image.data, 1);
    const probs = [...out.probs.data], score = out.score.data[0];
    const best = indexOfMost(probs), confidence = probs[best];
    let reason = null;
    if (calibration.accept_score != null && score < calibration.accept_score)
      reason = outliers.length ? outliers[indexOfMost([...out.outliers.data])] : "unsure";
    else if (confidence < (calibration.min_confidence ?? 0)) reason = "unsure";
    return { label: reason ? null : classes[best], reason, confidence, probs, score };
  }

  #run(pixels, count) {
    return this.#session.run({ image: new ort.Tensor("uint8", pixels, [count, SIDE, SIDE]) });
  }

  /** Compare with what the model gave when it was written: the images of the card, and their probabilities. */
  async #testItself() {
    const { self_test: test, numbers } = this.card;
    const packed = Uint8Array.from(atob(test.images), (character) => character.charCodeAt(0));
    const inflated = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const images = new Uint8Array(await new Response(inflated).arrayBuffer());
    const { probs } = await this.#run(images, test.probs.length);
    const off = Math.max(...test.probs.flat().map((expected, i) => Math.abs(expected - probs.data[i])));
    if (!(off <= TOLERANCE[numbers])) throw new Error(`The self test of the model differs by ${off}. Expected: at most ${TOLERANCE[numbers]}.`);
  }
}

function indexOfMost(values) {
  return values.indexOf(Math.max(...values));
}
