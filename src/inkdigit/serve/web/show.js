// Shows an answer: the digit, its confidence, the bars, the input of the network, the ink that decided.
// reading.js shows numbers; the card of the answer and the rows of bars are shared.

const MAX_BARS = 12; // of more classes, the most probable ones: more do not fit a phone
const FOR = [255, 158, 64]; // ink on black: the colours of the pages of `inkdigit explain`
const AGAINST = [92, 160, 255];
const NEITHER = [88, 88, 92];

const $ = (id) => document.getElementById(id);

// Why there is no answer, in words: a title, and the reason after "because".
const REASONS = {
  "no ink": ["No ink yet", "there is no ink in the picture"],
  "not a digit": ["Not a digit", "it does not look like anything that the network learned to read"],
  "more than one digit": ["One at a time", "there seems to be more than one digit"],
  unsure: ["Hard to tell", "it could be more than one digit, or it looks different from what the network learned"],
};

// A share in per cent, rounded down: only certainty is shown as 100 %.
export function percent(share, places = 1) {
  const scale = 10 ** places;
  return `${(Math.floor(share * 100 * scale + 1e-9) / scale).toFixed(places)}\u00a0%`;
}

export function showNothing(classes) {
  paint({ state: "empty", label: "", sureness: "", said: "The answer appears while you draw." });
  showBars(classes, null);
  showSeen(null);
}

// Returns the words that are read out when the pen rests.
export function showAnswer({ prediction, classes, seen, saliency, saliency_for: about }, { drawn, resting }) {
  const { label, probs, reason } = prediction;
  const order = probs ? probs.map((_, i) => i).sort((a, b) => probs[b] - probs[a]) : [];
  showBars(classes, probs, label);
  showSeen(seen, saliency, about, label === null);
  if (label !== null) {
    const rest = probs[order[1]];
    const second = rest < 0.001 ? "No other answer is likely." : `Second guess: ${classes[order[1]]}, ${percent(rest)}.`;
    return paint({ state: "answer", label, sureness: `${percent(probs[order[0]])} sure`, said: second });
  }
  if (drawn && !resting) {
    const so = probs ? `So far it looks most like ${classes[order[0]]}.` : "";
    return paint({ state: "going", label: "…", sureness: "Keep drawing", said: so });
  }
  if (reason === "no ink" && drawn) return paint({ state: "refusal", label: "?", sureness: REASONS[reason][0], said: "Draw a little more." });
  const [title, because] = REASONS[reason] ?? ["No answer", reason];
  const guess = probs ? ` The best guess is ${classes[order[0]]} (${share(probs[order[0]])}).` : "";
  return paint({ state: "refusal", label: "?", sureness: title, said: `No answer, because ${because}.${guess}` });
}

export function showTrouble(title, said, classes) {
  showBars(classes, null);
  showSeen(null);
  return paint({ state: "trouble", label: "!", sureness: title, said });
}

export function paint({ state, label, sureness, said }) {
  const card = $("answer");
  const fresh = $("label").textContent !== label;
  card.dataset.state = state;
  card.classList.toggle("long", [...label].length > 2);
  card.style.setProperty("--length", Math.max(1, [...label].length)); // a number is as large as its card allows
  $("label").textContent = label;
  $("sureness").textContent = sureness;
  $("said").textContent = said;
  if (fresh && state === "answer" && !matchMedia("(prefers-reduced-motion: reduce)").matches) {
    $("label").animate([{ transform: "scale(.82)", opacity: 0.3 }, { transform: "none", opacity: 1 }], { duration: 180, easing: "cubic-bezier(.2,.9,.3,1.2)" });
  }
  return state === "answer" ? `${label}, ${sureness}. ${said}` : `${sureness}. ${said}`;
}

function share(probability) {
  return probability < 0.001 ? "under 0.1\u00a0%" : percent(probability);
}

function showBars(classes, probs, label = null) {
  let shown = classes.map((_, i) => i);
  if (shown.length > MAX_BARS) {
    if (probs) shown.sort((a, b) => probs[b] - probs[a]);
    shown = shown.slice(0, MAX_BARS);
  }
  const list = $("bars");
  while (list.children.length > shown.length) list.lastChild.remove();
  while (list.children.length < shown.length) list.append(row());
  const best = probs ? Math.max(...probs) : 2;
  shown.forEach((index, place) => {
    const item = list.children[place];
    const [name, bar, figure] = item.children;
    const part = probs?.[index] ?? 0;
    name.textContent = classes[index];
    bar.firstChild.style.transform = `scaleX(${part})`;
    figure.textContent = probs ? (part < 0.001 ? "<\u00a00.1\u00a0%" : percent(part)) : "";
    item.classList.toggle("best", part === best);
    item.classList.toggle("refused", label === null);
    item.classList.toggle("least", part < 0.001);
  });
}

export function row() {
  const item = document.createElement("li");
  const name = document.createElement("b");
  const bar = document.createElement("span");
  const figure = document.createElement("span");
  bar.className = "bar";
  bar.append(document.createElement("i"));
  figure.className = "figure";
  item.append(name, bar, figure);
  return item;
}

function showSeen(seen, saliency, about, refused) {
  const title = !seen || !refused ? "Which ink decided" : `Ink for and against ${about}`;
  $("why-title").textContent = title;
  fill($("seen"), seen, () => [255, 255, 255]);
  $("seen").ariaLabel = seen ? "The picture after preprocessing: 28 by 28 pixels, white ink on black." : "Nothing yet";
  if (!seen || !saliency) {
    fill($("why"), seen, () => NEITHER); // coloured when the pen rests
    $("why").ariaLabel = "Nothing yet";
    return;
  }
  const strongest = Math.max(1e-9, ...saliency.flatMap((line, y) => line.map((fall, x) => (seen[y][x] ? Math.abs(fall) : 0))));
  fill($("why"), seen, (x, y) => {
    const strength = Math.max(-1, Math.min(1, saliency[y][x] / strongest));
    const side = strength > 0 ? FOR : AGAINST;
    return NEITHER.map((grey, i) => grey + Math.abs(strength) * (side[i] - grey));
  });
  $("why").ariaLabel = `The same picture. ${places(seen, saliency, about)}`;
}

// Draws the picture, its ink in the colours of `tint(x, y)`.
function fill(canvas, seen, tint) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(28, 28);
  for (let y = 0; seen && y < 28; y++) {
    for (let x = 0; x < 28; x++) {
      const colour = tint(x, y).map((part) => (part * seen[y][x]) / 255);
      image.data.set([...colour, 255], 4 * (28 * y + x));
    }
  }
  context.putImageData(image, 0, 0);
  canvas.classList.toggle("bare", !seen);
}

// In words, where the ink is that speaks for the answer.
function places(seen, saliency, about) {
  const names = [["upper left", "top", "upper right"], ["left", "middle", "right"], ["lower left", "bottom", "lower right"]];
  const ninths = new Map();
  let against = false;
  saliency.forEach((line, y) =>
    line.forEach((fall, x) => {
      if (!seen[y][x]) return;
      const name = names[Math.min(2, Math.floor((y - 4) / 6.7))]?.[Math.min(2, Math.max(0, Math.floor((x - 4) / 6.7)))] ?? "middle";
      if (fall > 0) ninths.set(name, (ninths.get(name) ?? 0) + fall);
      else against ||= fall < 0;
    }),
  );
  const [first, second] = [...ninths].sort((a, b) => b[1] - a[1]);
  if (!first) return `No ink speaks for ${about}.`;
  return `Most of the ink that speaks for ${about} is at the ${first[0]}${second ? `, then at the ${second[0]}` : ""}; ${against ? "some" : "no"} ink speaks against it.`;
}
