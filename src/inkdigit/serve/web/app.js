// The page: it sends what is drawn, dropped, pasted or chosen, and shows the answer.

import { Asker, Refusal, fetchJson, visit } from "./ask.js";
import { strokes } from "./glyphs.js";
import { Paper, SIDE } from "./paper.js";
import { takePictures } from "./pictures.js";
import { percent, showAnswer, showNothing, showTrouble } from "./show.js";

const $ = (id) => document.getElementById(id);
const READ_OUT_MS = 700; // after the last answer, so that a screen reader does not read out every stroke
const DIGITS = [..."0123456789"];

const paper = new Paper($("ink"));
const asker = new Asker();
let info = {};
let models = [];
let classes = DIGITS;
let last = null; // the latest answer: { question, blob, answer }
let shownPicture = null;
let readOut = 0;

// ---- Asking

function ask({ resting }) {
  const question = { blob: () => paper.blob(), model: $("model").value || null, resting, state: paper.state };
  if (paper.blank) {
    asker.forget();
    notice(""); // no request is open any more
    last = null;
    showNothing(classes);
    say("");
    return followAnswer();
  }
  if (info.needs_token && !visit.get("token")) return refused(new Refusal(401));
  asker.ask(question);
}

paper.addEventListener("ink", () => {
  $("hint").hidden = true;
  if (shownPicture) asker.forget();
  showPicture(null);
  ask({ resting: false });
});
paper.addEventListener("change", () => {
  showPicture(paper.state.picture);
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
  classes = detail.answer.classes;
  const { resting, state } = detail.question;
  say(showAnswer(detail.answer, { drawn: !state.picture, resting }));
  followAnswer();
});
asker.addEventListener("refusal", ({ detail: { error } }) => refused(error));
asker.addEventListener("busy", () => notice("The service is busy. Your digit will be read in a moment."));
asker.addEventListener("away", () => notice("The service does not answer. Your drawing is not lost; trying again …"));

function refused(error) {
  notice("");
  last = null;
  if (error.status === 401) askToken();
  say(showTrouble(...excuse(error), classes));
  followAnswer();
}

// An error of the service in words for people: a title and the next step.
function excuse(error) {
  const limit = info.limits ? ` The limit is ${(info.limits.max_bytes / 1e6).toFixed(1)} MB.` : "";
  const words = {
    401: ["Access token needed", "This service only answers with an access token."],
    408: ["That took too long", "Please try again, perhaps with a smaller picture."],
    413: ["Too large", `This picture is larger than this service accepts.${limit} Choose a smaller copy, or cut out the digit.`],
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

async function put(file) {
  if (!file) return;
  try {
    const bytes = await file.arrayBuffer(); // now: the file may be deleted before it is sent
    paper.put(new File([bytes], file.name || "digit.png", { type: file.type }));
  } catch {
    say(showTrouble("Cannot be opened", "This file could not be read from your device.", classes));
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
takePictures(put);

// ---- Tools and keys

$("undo").addEventListener("click", () => paper.undo());
$("redo").addEventListener("click", () => paper.redo());
$("clear").addEventListener("click", () => paper.clear());
$("thickness").addEventListener("input", () => (paper.thickness = Number($("thickness").value)));
addEventListener("keydown", (event) => {
  const typing = event.target.closest("input:not([type=range], [type=checkbox]), select, textarea");
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
  for (const stroke of strokes(Math.floor(Math.random() * 10), SIDE)) await paper.trace(stroke, still ? 0 : 650);
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
  const name = file ? file.name.replace(/[^\w.-]/g, "_") : "digit.png"; // similar to the name under which the browser saves it
  const address = new URL("predict", location.href);
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
  $("correction").hidden = !info.collects || !last;
  if (info.collects && last) renewCorrection();
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
  $("correction-told").textContent = "";
  $("right").disabled = !$("agreed").checked || !last.question.resting; // the pen still moves
}

function key(name) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = name === "none" ? "No digit" : name;
  button.className = name.length > 3 ? "wide" : "";
  button.addEventListener("click", () => correct(name));
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
  if (last) renewCorrection();
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
  ask({ resting: true });
});

async function meet() {
  try {
    info = await fetchJson("info");
    $("version").textContent = info.version ? `Inkdigit ${info.version}` : "";
    $("privacy").textContent = info.collects
      ? "Pictures are read in memory, and not stored. Only corrections that you agree to are stored on this server."
      : "Nothing is stored: this server reads pictures in its memory only.";
    if (info.needs_token) $("model-figure").removeAttribute("href"); // a link does not send the token
    $("card").hidden = info.needs_token;
    if (info.needs_token && !visit.get("token")) return askToken();
    const loaded = await fetchJson("models");
    models = loaded.models;
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
  const several = models.length > 1;
  const options = models.map(({ name }) => new Option(name, name, false, name === chosen));
  $("model").replaceChildren(...(several ? options : []));
  $("model").hidden = !several;
  $("model-name").hidden = several;
  $("model-name").textContent = chosen;
  $("model-line").hidden = false;
  followModel();
}

function followModel() {
  const model = models.find(({ name }) => name === ($("model").value || models[0].name));
  const { accuracy, data, part, n = 0 } = model.figures;
  $("model-figure").hidden = !accuracy;
  if (accuracy) $("accuracy").textContent = `${percent(accuracy, 2)} right`;
  $("model-figure").title = `Measured on ${n.toLocaleString("en")} images of ${data} (${part}). The link opens the model card.`;
  classes = model.classes;
  const digits = classes.join() === DIGITS.join();
  document.querySelector("h1").textContent = digits ? "Draw a digit." : "Draw one of the classes.";
  if (paper.blank) showNothing(classes);
}

$("model").addEventListener("change", () => {
  followModel();
  asker.forget();
  ask({ resting: true });
});

// ---- Begin

$("agreed").checked = visit.get("agreed") === "yes";
$("photograph").hidden = !matchMedia("(pointer: coarse)").matches;
$("thickness").value = paper.thickness;
showTheme();
showNothing(classes);
followAnswer();
meet();
