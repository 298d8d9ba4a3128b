// Several pictures: asked one after the other, each with its answer below it. One of them is on the paper.

import { Asker } from "./ask.js";
import { percent } from "./show.js";

const $ = (id) => document.getElementById(id);

// `question(file)` is what an `Asker` is given for a picture, `choose(file)` puts it on the paper, and `excuse(error)` says
// in a few words why there is no answer.
export class Album {
  #asker = new Asker();
  #items = []; // of each picture its file, and the elements that show it
  #question;
  #choose;

  constructor(question, choose, excuse) {
    this.#question = question;
    this.#choose = choose;
    this.#asker.addEventListener("answer", ({ detail: { question, answer } }) => this.#told(question.item, ...words(answer)));
    this.#asker.addEventListener("refusal", ({ detail: { question, error } }) => this.#told(question.item, "!", excuse(error)));
  }

  // Show these pictures and ask for each; none: forget those that are shown.
  show(files) {
    for (const { image } of this.#items) URL.revokeObjectURL(image.src);
    this.#items = files.map((file) => this.#item(file));
    $("pictures").replaceChildren(...this.#items.map(({ place }) => place));
    $("album").hidden = !files.length;
    $("album-title").textContent = `${files.length} pictures`;
    this.askAgain();
  }

  // The questions have changed: another model, or numbers instead of digits.
  askAgain() {
    this.#asker.forget();
    for (const item of this.#items) tell(item, "…", "");
    this.#next(0);
  }

  // Mark the picture that is on the paper.
  mark(file) {
    for (const item of this.#items) item.button.setAttribute("aria-pressed", String(item.file === file));
  }

  #item(file) {
    const [place, button, image, label, sureness] = ["li", "button", "img", "b", "span"].map((name) => document.createElement(name));
    button.type = "button";
    button.title = file.name;
    image.alt = file.name;
    image.src = URL.createObjectURL(file);
    button.append(image, label, sureness);
    button.addEventListener("click", () => this.#choose(file));
    place.append(button);
    return { file, place, button, image, label, sureness };
  }

  #next(at) {
    if (at < this.#items.length) this.#asker.ask({ ...this.#question(this.#items[at].file), item: this.#items[at] });
  }

  #told(item, label, sureness) {
    const at = this.#items.indexOf(item);
    if (at < 0) return; // of pictures that were shown before
    tell(item, label, sureness);
    this.#next(at + 1);
  }
}

function tell({ label, sureness }, answer, how) {
  label.textContent = answer;
  sureness.textContent = how;
}

// A prediction or a reading: its label and, in a few words, how sure it is or why there is none.
function words({ predictions, readings }) {
  const [{ label, text, confidence, reason }] = predictions ?? readings;
  return reason === null ? [label ?? text, percent(confidence)] : ["?", reason];
}
