// Shows a reading: the text of the numbers, how sure the network is of them, and where they are in the picture.

import { paint, percent, row } from "./show.js";

const SVG = "http://www.w3.org/2000/svg";
const IN_DOUBT = 0.98; // a character below it is named

const $ = (id) => document.getElementById(id);
let newest = 0; // pictures are decoded meanwhile: only the newest is shown

// Why there is no answer, in words: a title, and the reason after "because".
const REASONS = {
  "no ink": ["No ink yet", "there is no ink in the picture"],
  "not a number": ["Not a number", "what is written does not look like a number"],
  unsure: ["Hard to tell", "the network is not sure enough of every character"],
};

export function showNoReading() {
  newest++;
  $("where").hidden = $("several").hidden = true;
}

// Returns the words that are read out when the pen rests. `blob` is the picture that was sent.
export function showReading({ text, confidence, reason, numbers }, { blob, drawn, resting }) {
  showNumbers(numbers);
  showBoxes(blob, numbers);
  if (reason === null) {
    return paint({ state: "answer", label: text, sureness: `${percent(confidence)} sure`, said: doubts(numbers) });
  }
  const guess = numbers.map((number) => number.text).join(" ").trim();
  if (drawn && !resting) {
    return paint({ state: "going", label: "…", sureness: "Keep writing", said: guess && `So far it looks most like ${guess}.` });
  }
  if (reason === "no ink" && drawn) return paint({ state: "refusal", label: "?", sureness: REASONS[reason][0], said: "Write a little more." });
  const [title, because] = REASONS[reason] ?? ["No answer", reason];
  const sure = numbers.length === 1 ? ` (${percent(numbers[0].confidence)})` : "";
  const best = guess ? ` The best guess is ${guess}${sure}.` : "";
  return paint({ state: "refusal", label: "?", sureness: title, said: `No answer, because ${because}.${best}` });
}

// What there is to say about an answer: numbers that were left out, else the character that is least sure.
function doubts(numbers) {
  const refused = numbers.filter(({ reason }) => reason !== null).length;
  if (refused) return refused === 1 ? "One more place is left out: it could not be read." : `${refused} more places are left out: they could not be read.`;
  const least = numbers.flatMap(({ digits }) => digits).reduce((a, b) => (b.confidence < a.confidence ? b : a));
  return least.confidence < IN_DOUBT ? `Least sure of the ${least.label}: ${percent(least.confidence)}.` : "No character is in doubt.";
}

// Of several numbers, how sure each is.
function showNumbers(numbers) {
  $("several").hidden = numbers.length < 2;
  if (numbers.length < 2) return;
  const list = $("numbers");
  while (list.children.length > numbers.length) list.lastChild.remove();
  while (list.children.length < numbers.length) list.append(row());
  numbers.forEach(({ text, confidence, reason }, place) => {
    const item = list.children[place];
    const [name, bar, figure] = item.children;
    name.textContent = text || "?";
    bar.firstChild.style.transform = `scaleX(${confidence})`;
    figure.textContent = reason === null ? percent(confidence) : (REASONS[reason]?.[0] ?? reason);
    item.classList.add("best");
    item.classList.toggle("refused", reason !== null);
  });
}

// The picture that was sent, with a box around each number. The old one stays until the new one can be painted.
async function showBoxes(blob, numbers) {
  const turn = ++newest;
  const picture = new Image();
  picture.src = URL.createObjectURL(blob);
  const known = await picture.decode().then(() => true, () => false); // the service opens formats that a browser may not
  URL.revokeObjectURL(picture.src);
  if (turn !== newest) return;
  $("where").hidden = !known || !numbers.length;
  if ($("where").hidden) return;
  picture.id = "sent";
  picture.alt = numbers.length === 1 ? "The picture that was read. The number in it is marked." : `The picture that was read. ${numbers.length} places in it are marked.`;
  $("sent").replaceWith(picture);
  $("boxes").setAttribute("viewBox", `0 0 ${picture.naturalWidth} ${picture.naturalHeight}`);
  $("boxes").replaceChildren(...numbers.flatMap(marks));
  $("left-out").hidden = numbers.every(({ reason }) => reason === null);
}

// The characters lightly, then the number: each line twice, so that it is seen on any picture.
function marks({ box, digits, reason }) {
  const kind = reason === null ? "number" : "number refused";
  return [...digits.map((digit) => rectangle(digit.box, "character")), rectangle(box, "halo"), rectangle(box, kind)];
}

function rectangle([top, left, bottom, right], kind) {
  const shape = document.createElementNS(SVG, "rect");
  const sides = { x: left, y: top, width: right - left, height: bottom - top, class: kind };
  for (const [name, value] of Object.entries(sides)) shape.setAttribute(name, value);
  return shape;
}
