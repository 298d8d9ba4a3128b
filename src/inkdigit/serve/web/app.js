// The page: it sends what is drawn, dropped, pasted or chosen, and shows the answer.

import { Album } from "./album.js";
import { Asker, Refusal, fetchJson, visit } from "./ask.js";
import { measured, openCard } from "./card.js";
import { strokes, strokesOfNumber } from "./glyphs.js";
import { Paper, SQUARE, STRIP } from "./paper.js";
import { takePictures } from "./pictures.js";
import { showNoReading, showReading } from "./reading.js";
import { showAnswer, showNothing, showTrouble } from "./show.js";

const $ = (id) => document.getElementById(id);
const READ_OUT_MS = 700; // after the last answer, so that a screen reader does not read out every stroke
const DIGITS = [..."0123456789"];
const SHOWN_DIGITS = 4; // of the number that the page writes by itself
const NUMBER = "#number"; // at the end of the address: the page begins with numbers

const paper = new Paper($("ink"));
const asker = new Asker();
const album = new Album(inBrief, put, (error) => excuse(error)[0]);
let info = {};
let loaded = { models: [] }; // the answer of /models
let classes = DIGITS;
let mode = "digit"; // or "number": what is read
let last = null; // the latest answer: { question, blob, answer }
let shownPicture = null;
let readOut = 0;
let corrected = null; // the right answer that was chosen, until it is stored

// ---- Asking

function ask({ resting }) {
  const question = { blob: () => paper.blob(), ...addressee(resting), resting, state: paper.state };
  if (paper.blank) {
    asker.forget();
    notice(""); // no request is open any more
    return forgetAnswer();
  }
  if (info.needs_token && !visit.get("token")) return refused(new Refusal(401));
  asker.ask(question);
}

// Who answers: the route, what is added to it, and the model that was chosen.
function addressee(resting) {
  if (mode === "number") return { mode, route: "read", query: {}, model: null };
  const model = $("model").value || null;
  const query = { ...(resting ? {} : { saliency: "false" }), ...(model && { model }) }; // without reasons it is half of the work
  return { mode, route: "explain", query, model };
}

// One picture of several: what the service is asked about it. All of it is asked when it is on the paper.
function inBrief(file) {
  const { route, query, model } = addressee(true);
  return { blob: async () => file, route: route === "read" ? route : "predict", query, model };
}

function forgetAnswer() {
  last = null;
  showNothing(classes);
  showNoReading();
  say("");
  followAnswer();
}

paper.addEventListener("ink", () => {
  $("hint").hidden = true;
  if (shownPicture) asker.forget();
  showPicture(null);
  ask({ resting: false });
});
paper.addEventListener("change", () => {
  showPicture(paper.state.picture);
  album.mark(paper.state.picture?.original);
  $("hint").hidden = !paper.blank;
  $("undo").disabled = !paper.canUndo;
  $("redo").disabled = !paper.canRedo;
  $("clear").disabled = paper.blank;
  if (paper.state.picture) asker.forget();
  ask({ resting: true });
});
asker.addEventListener("answer", ({ detail }) => {
  notice("");
  if (paper.blank) return;
  last = detail;
  const { question, blob, answer } = detail;
  const about = { drawn: !question.state.picture, resting: question.resting };
  if (question.mode === "number") say(showReading(answer.readings[0], { blob, ...about }));
  else {
    classes = answer.classes;
    say(showAnswer(answer, about));
  }
  followAnswer();
});
asker.addEventListener("refusal", ({ detail: { error } }) => refused(error));
asker.addEventListener("busy", () => notice(`The service is busy. Your ${mode} will be read in a moment.`));
asker.addEventListener("away", () => notice("The service does not answer. Your drawing is not lost; trying again …"));

function refused(error) {
  notice("");
  last = null;
  if (error.status === 401) askToken();
  trouble(...excuse(error));
  followAnswer();
}

function trouble(title, said) {
  showNoReading();
  say(showTrouble(title, said, classes));
}

// An error of the service in words for people: a title and the next step.
function excuse(error) {
  const limit = info.limits ? ` The limit is ${(info.limits.max_bytes / 1e6).toFixed(1)} MB.` : "";
  const words = {
    401: ["Access token needed", "This service only answers with an access token."],
    408: ["That took too long", "Please try again, perhaps with a smaller picture."],
    413: ["Too large", `This picture is larger than this service accepts.${limit} Choose a smaller copy, or cut out the ${mode}.`],
    415: ["Not a picture", "This file cannot be opened as a picture. Possible formats: PNG, JPEG, WebP, GIF, BMP and TIFF."],
    422: ["Cannot be read", "This picture seems to be damaged. Please try another copy of it."],
  };
  return words[error.status] ?? ["Something went wrong", error.message];
}

function notice(text) {
  if ($("notice").textContent !== text) $("notice").textContent = text;
  $("notice").hidden = !text;
}

function say(text) {
  clearTimeout(readOut);
  readOut = setTimeout(() => ($("live").textContent = text), READ_OUT_MS);
}

// ---- Pictures: the bytes of the file are sent unchanged

// One picture is put on the paper; several are shown below it too, each with its answer.
function take(files) {
  if (!files.length) return;
  album.show(files.length > 1 ? files : []);
  put(files[0]);
}

async function put(file) {
  try {
    const bytes = await file.arrayBuffer(); // now: the file may be deleted before it is sent
    const picture = new File([bytes], file.name || `${mode}.png`, { type: file.type });
    paper.put(Object.assign(picture, { original: file }));
  } catch {
    trouble("Cannot be opened", "This file could not be read from your device.");
  }
}

function showPicture(file) {
  if (file === shownPicture) return;
  shownPicture = file;
  if ($("picture").src) URL.revokeObjectURL($("picture").src);
  $("picture").removeAttribute("src");
  $("picture").hidden = !file;
  $("no-preview").hidden = true;
  if (file) $("picture").src = URL.createObjectURL(file);
}

$("picture").addEventListener("error", () => {
  if (!shownPicture) return;
  $("picture").hidden = true;
  $("no-preview").hidden = false;
  $("no-preview").textContent = shownPicture.name;
});
takePictures(take);

// ---- One digit, or a number

function turn(to) {
  $(`mode-${to}`).checked = true; // also where the address has changed
  if (to === mode) return;
  mode = to;
  document.documentElement.dataset.mode = mode;
  showTitle();
  asker.forget();
  notice("");
  forgetAnswer(); // the other network's
  album.askAgain();
  paper.turn(mode === "number" ? STRIP : SQUARE); // asks again, if there is something on it
}

function showTitle() {
  const digits = classes.join() === DIGITS.join();
  document.querySelector("h1").textContent = mode === "number" ? "Write a number." : digits ? "Draw a digit." : "Draw one of the classes.";
}

const addressed = () => (location.hash === NUMBER ? "number" : "digit");
for (const to of ["digit", "number"]) {
  $(`mode-${to}`).addEventListener("change", () => {
    const address = new URL(location.href);
    address.hash = to === "number" ? NUMBER : "";
    history.replaceState(null, "", address); // a reload and a link keep the mode; "back" leaves the page
    turn(to);
  });
}
addEventListener("hashchange", () => turn(addressed()));

// ---- Tools and keys

$("undo").addEventListener("click", () => paper.undo());
$("redo").addEventListener("click", () => paper.redo());
$("clear").addEventListener("click", () => paper.clear());
$("thickness").addEventListener("input", () => (paper.thickness = Number($("thickness").value)));
addEventListener("keydown", (event) => {
  const typing = event.target.closest("input:not([type=range], [type=checkbox], [type=radio]), select, textarea");
  if (typing || event.altKey) return;
  const key = event.key.toLowerCase();
  const command = event.ctrlKey || event.metaKey;
  const call =
    command && key === "z" ? (event.shiftKey ? "redo" : "undo") : command && key === "y" ? "redo" : key === "delete" || key === "backspace" ? "clear" : null;
  if (!call) return;
  event.preventDefault();
  paper[call]();
});

let tracing = false;
$("show-me").addEventListener("click", async () => {
  if (tracing || paper.drawing) return;
  tracing = true;
  paper.clear();
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const begun = mode;
  const random = (count) => Array.from({ length: count }, () => Math.floor(Math.random() * 10)).join("");
  const shown = begun === "number" ? strokesOfNumber(random(SHOWN_DIGITS), STRIP) : strokes(Number(random(1)), SQUARE[0]);
  const pace = begun === "number" ? 350 : 650; // of each stroke, in ms
  for (const stroke of shown) if (mode === begun) await paper.trace(stroke, still ? 0 : pace);
  tracing = false;
});

// ---- Theme

const dark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const showTheme = () => $("theme").setAttribute("aria-pressed", String(dark()));
$("theme").addEventListener("click", () => {
  const theme = dark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // The browser forbids storage: the theme holds for this visit.
  }
  showTheme();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);

// ---- What follows an answer: the command, the correction

function followAnswer() {
  const file = last?.question.state.picture;
  const name = file ? file.name.replace(/[^\w.-]/g, "_") : `${mode}.png`; // similar to the name under which the browser saves it
  const address = new URL(mode === "number" ? "read" : "predict", location.href);
  address.hash = "";
  if (last?.question.model) address.searchParams.set("model", last.question.model);
  const header = info.needs_token ? ` -H 'Authorization: Bearer YOUR-TOKEN'` : "";
  $("curl").textContent = `curl --data-binary @${name}${header} '${address}'`;
  if ($("save").href) URL.revokeObjectURL($("save").href);
  $("save").toggleAttribute("hidden", !last || Boolean(file));
  $("save").removeAttribute("href");
  if (last) $("save").href = URL.createObjectURL(last.blob);
  $("save").download = name;
  $("copy-told").textContent = "";
  $("correction").hidden = !info.collects || !last || mode === "number"; // the line reader does not learn from corrections
  if (!$("correction").hidden) renewCorrection();
}

$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("curl").textContent);
  } catch {
    getSelection().selectAllChildren($("curl")); // without https there is no clipboard API
    document.execCommand("copy");
  }
  $("copy-told").textContent = shownPicture ? "Copied. Run it in the folder of your picture." : "Copied. Save the picture too, and run the command in its folder.";
});

function renewCorrection() {
  const names = [...classes, "none"];
  if ($("keys").children.length !== names.length || $("keys").dataset.classes !== classes.join()) {
    $("keys").dataset.classes = classes.join();
    $("keys").replaceChildren(...names.map(key));
  }
  chooseCorrection(null);
  $("right").disabled = !last.question.resting; // the pen still moves
}

// What was chosen is stored at once, or as soon as the person agrees.
function chooseCorrection(name) {
  corrected = name;
  for (const button of $("keys").children) button.setAttribute("aria-pressed", String(button.dataset.name === name));
  $("correction-told").textContent = name && !$("agreed").checked ? "To store it, tick the box above." : "";
  if (name && $("agreed").checked) correct(name);
}

function key(name) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.name = name;
  button.textContent = name === "none" ? "No digit" : name;
  button.className = name.length > 3 ? "wide" : "";
  button.addEventListener("click", () => chooseCorrection(name));
  return button;
}

async function correct(right) {
  const { blob, answer } = last;
  const about = last;
  const body = { picture: await base64(blob), model: answer.model, label: answer.prediction.label, right, agreed: true };
  $("right").disabled = true;
  try {
    await fetchJson("corrections", { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
    if (last === about) $("correction-told").textContent = `Thank you. It is stored as ${right === "none" ? "no digit" : right}.`;
  } catch (error) {
    if (!(error instanceof Refusal || error instanceof TypeError)) throw error;
    if (last !== about) return;
    $("right").disabled = false;
    $("correction-told").textContent = `It was not stored. ${error instanceof Refusal ? error.message : "The service does not answer; please try again."}`;
  }
}

function base64(blob) {
  return new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => fail(reader.error);
    reader.readAsDataURL(blob);
  });
}

$("agreed").addEventListener("change", () => {
  visit.set("agreed", $("agreed").checked ? "yes" : "");
  if (corrected && !$("right").disabled) chooseCorrection(corrected);
});
$("right").addEventListener("keydown", (event) => {
  const button = [...$("keys").children].find((one) => one.textContent === event.key);
  if (button && !event.ctrlKey && !event.metaKey) button.focus();
});

// ---- The service: its version, its models, its token

function askToken() {
  $("token-form").hidden = false;
  if (visit.get("token")) $("token-told").textContent = "This token was not accepted.";
  visit.set("token", "");
}

$("token-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  visit.set("token", $("token").value.trim());
  $("token").value = "";
  $("token-form").hidden = true;
  await meet();
  album.askAgain();
  ask({ resting: true });
});

async function meet() {
  try {
    info = await fetchJson("info");
    $("version").textContent = info.version ? `Inkdigit ${info.version}` : "";
    $("privacy").textContent = info.collects
      ? "Pictures are read in memory, and not stored. Only corrections that you agree to are stored on this server."
      : "Nothing is stored: this server reads pictures in its memory only.";
    if (info.needs_token && !visit.get("token")) return askToken();
    loaded = await fetchJson("models");
    $("card").hidden = false;
    $("card-json").hidden = info.needs_token; // a link does not send the token
    showModels(loaded.default);
    notice("");
  } catch (error) {
    if (error instanceof Refusal && error.status === 401) return askToken();
    if (!(error instanceof Refusal || error instanceof TypeError)) throw error;
    notice("The service does not answer yet; trying again …");
    setTimeout(meet, 2000);
  }
}

function showModels(chosen) {
  const several = loaded.models.length > 1;
  const options = loaded.models.map(({ name }) => new Option(name, name, false, name === chosen));
  $("model").replaceChildren(...(several ? options : []));
  $("model").hidden = !several;
  $("model-name").hidden = several;
  $("model-name").textContent = chosen;
  $("model-line").hidden = false;
  followModel();
}

function followModel() {
  const model = loaded.models.find(({ name }) => name === ($("model").value || loaded.models[0].name));
  $("model-figure").hidden = !model.figures.accuracy;
  if (model.figures.accuracy) $("model-figure").replaceChildren(...measured(model.figures));
  classes = model.classes;
  showTitle();
  if (paper.blank) showNothing(classes);
}

$("model").addEventListener("change", () => {
  followModel();
  album.askAgain();
  asker.forget();
  ask({ resting: true });
});

for (const id of ["card", "model-figure"]) $(id).addEventListener("click", () => openCard(loaded));

// ---- Begin

$("agreed").checked = visit.get("agreed") === "yes";
$("photograph").hidden = !matchMedia("(pointer: coarse)").matches;
$("thickness").value = paper.thickness;
showTheme();
forgetAnswer();
turn(addressed());
meet();
