// The model card: what the loaded models are, what they learned from, and how well they were measured to do.

import { percent } from "./show.js";

const $ = (id) => document.getElementById(id);
const count = (number) => number.toLocaleString("en");

// How many images of which data a model got right: text and an element, which a narrow screen leaves out.
export function measured({ accuracy, data, part, n }) {
  const which = Object.assign(document.createElement("span"), { className: "more", textContent: `${count(n)} ${data} ` });
  return [`${percent(accuracy, 2)} of `, which, `${part} images right`];
}

// Fill the dialog with the answer of `/models`, and open it.
export function openCard({ default: usual, models, reader }) {
  $("cards").replaceChildren(...models.map((model) => section(model, model.name === usual)), section(reader, false));
  $("card-dialog").showModal();
}

function section(model, isUsual) {
  const place = document.createElement("section");
  const title = document.createElement("h3");
  const list = document.createElement("dl");
  title.textContent = model.name + (isUsual ? " (answers by default)" : "");
  for (const [name, words] of facts(model)) {
    const [term, description] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    description.append(...[words].flat());
    list.append(term, description);
  }
  place.append(title, list);
  return place;
}

// What there is to say about a model for digits, or about the reader of numbers: [name, words].
function facts({ classes, alphabet, figures = {}, outliers = [], trained_on: data, drawn, parameters, bytes, numbers }) {
  const { accuracy, accuracy_ci95: limits, coverage_at_999: coverage } = figures;
  const all = [
    ["Reads", classes ? classes.join(", ") : `numbers with the characters ${[...alphabet].filter((one) => one !== " ").join(" ")} and spaces`],
    ["Knows as no digit", outliers.join(", ")],
    ["Learned from", data],
    ["Drawn for it", drawn],
    ["Measured", accuracy && measured(figures)],
    ["95 % interval", limits && limits.map((limit) => percent(limit, 2)).join(" to ")],
    ["Surest answers", coverage && `of the ${percent(coverage, 2)} with the highest confidence, 99.9\u00a0% are right`],
    ["Weights", `${count(parameters)}, ${numbers}; ${(bytes / 1e6).toFixed(2)} MB`],
  ];
  return all.filter(([, words]) => words);
}
