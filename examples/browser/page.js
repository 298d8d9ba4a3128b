// The page: what is drawn or chosen → prepare.js → recognizer.js → what is shown.

import { Paper } from "./paper.js";
import { NotClean, SIDE, prepare, prepareInk, toGray } from "./prepare.js";
import { Recognizer } from "./recognizer.js";

const MAX_PIXELS = 4_000_000; // of a chosen picture: the package reduces larger ones first
const $ = (id) => document.getElementById(id);
const REASONS = {
  "no ink": "There is no ink.",
  unsure: "The model is not sure enough to answer.",
  "not a digit": "This is not a digit.",
  "more than one digit": "This is more than one digit.",
};
const NOT_CLEAN =
  "Not a clean picture: its ink is larger than 32 pixels, in pieces, or on uneven paper, and must be found first. " +
  "The Python package and its service do that.";

const paper = new Paper($("ink"));
let model = null;
let latest = 0; // only the answer to the last question is shown

try {
  model = await Recognizer.load("model.onnx");
  $("model").textContent = `Model ${model.card.name}, ${model.card.parameters.toLocaleString("en")} weights`;
  $("probs").replaceChildren(...model.card.classes.map(bar));
  paper.addEventListener("ink", answerDrawing);
  for (const button of document.querySelectorAll("button")) button.disabled = false;
  document.body.dataset.state = "ready";
  if (!paper.blank) answerDrawing();
  else ask();
} catch (error) {
  document.body.dataset.state = "failed";
  $("model").textContent = "No model";
  say("—", error.message);
}

$("clear").addEventListener("click", () => paper.clear());
$("undo").addEventListener("click", () => paper.undo());
$("choose").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => answerFile($("file").files[0]));
addEventListener("paste", (event) => answerFile(event.clipboardData.files[0]));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  answerFile(event.dataTransfer.files[0]);
});

function ask() {
  latest++;
  see(null);
  show(null);
  say("", "Draw a digit, or choose a clean picture of one.");
}

function answerDrawing() {
  if (paper.blank) return ask();
  return answer(() => (model.card.prepare.kind === "ink" ? prepareInk(paper.ink()) : prepare(paper.ink(), "plain")));
}

function answerFile(file) {
  $("file").value = "";
  if (!file || !model) return;
  answer(async () => {
    const image = await open(file);
    paper.show(image);
    return prepare(toGray(pixels(image, file.name)), model.card.prepare.kind);
  });
}

/** A picture as it is in its file: the colours are not changed for the screen. */
async function open(file) {
  try {
    return await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    throw new Error(`${file.name} is not a picture that this browser can open.`);
  }
}

function pixels(image, name) {
  const { width, height } = image;
  if (width * height > MAX_PIXELS) throw new Error(`${name} has ${width}×${height} pixels. Expected: at most 4 megapixels.`);
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, width, height);
}

async function answer(prepared) {
  const mine = ++latest;
  try {
    const image = await prepared();
    const prediction = await model.predict(image);
    if (mine !== latest) return;
    see(image);
    show(prediction.probs);
    const sure = prediction.confidence === null ? "" : `${(100 * prediction.confidence).toFixed(1)} % sure`;
    say(prediction.label ?? "?", prediction.label === null ? REASONS[prediction.reason] ?? prediction.reason : sure);
  } catch (error) {
    if (mine !== latest) return;
    see(null);
    show(null);
    say("—", error instanceof NotClean ? NOT_CLEAN : error.message);
  }
}

function say(label, words) {
  $("label").textContent = label;
  $("words").textContent = words;
}

/** What the network sees: 28×28. */
function see(image) {
  const context = $("seen").getContext("2d");
  const shown = context.createImageData(SIDE, SIDE);
  shown.data.forEach((_, i) => (shown.data[i] = i % 4 === 3 ? 255 : image ? image.data[Math.floor(i / 4)] : 0));
  context.putImageData(shown, 0, 0);
}

function show(probs) {
  [...$("probs").children].forEach((item, k) => {
    const share = probs?.[k] ?? 0;
    item.querySelector("meter").value = share;
    item.querySelector("output").textContent = probs ? `${(100 * share).toFixed(1)} %` : "";
    item.toggleAttribute("data-best", Boolean(probs) && share === Math.max(...probs));
  });
}

function bar(name) {
  const item = document.createElement("li");
  item.append(...["span", "meter", "output"].map((tag) => document.createElement(tag)));
  item.firstChild.textContent = name;
  item.querySelector("meter").setAttribute("aria-label", `Probability of ${name}`);
  return item;
}
