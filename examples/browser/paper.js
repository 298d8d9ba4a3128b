// The paper: strokes of a pen, shown on one canvas, and given as ink: white on exactly black.
// Every pixel above 0 of the second is ink, so nothing needs to find it.

const SHEET = 280; // pixels a side of the ink; the points of strokes are in them
const PEN = 22; // of these pixels: a digit that fills the paper has strokes as thick as MNIST's

export class Paper extends EventTarget {
  #shown;
  #sheet = new OffscreenCanvas(SHEET, SHEET).getContext("2d", { alpha: false, willReadFrequently: true });
  #strokes = [];
  #picture = null; // shown instead of strokes
  #pointer = null;

  /** @param {HTMLCanvasElement} canvas; the event "ink" comes with each change */
  constructor(canvas) {
    super();
    this.#shown = canvas.getContext("2d");
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, (event) => this.#end(event));
    new ResizeObserver(() => this.#redraw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#redraw());
  }

  get blank() {
    return this.#strokes.length === 0;
  }

  /** @param {ImageBitmap} picture is shown until something is drawn */
  show(picture) {
    this.#strokes = [];
    this.#picture = picture;
    this.#redraw();
  }

  undo() {
    this.#strokes.pop();
    this.#changed();
  }

  clear() {
    this.#strokes = [];
    this.#changed();
  }

  /** @returns {{width: number, height: number, data: Uint8Array}} the ink, 255 on 0 */
  ink() {
    draw(this.#sheet, this.#strokes, 1, "#000", "#fff");
    const { data } = this.#sheet.getImageData(0, 0, SHEET, SHEET);
    return { width: SHEET, height: SHEET, data: Uint8Array.from({ length: SHEET * SHEET }, (_, i) => data[4 * i]) };
  }

  #begin(event) {
    if (this.#pointer !== null || event.button !== 0) return;
    this.#pointer = event.pointerId;
    event.target.setPointerCapture(event.pointerId);
    this.#strokes.push([point(event)]);
    this.#changed();
  }

  #move(event) {
    if (event.pointerId !== this.#pointer) return;
    const seen = event.getCoalescedEvents?.() ?? [];
    this.#strokes.at(-1).push(...(seen.length ? seen : [event]).map(point));
    this.#changed();
  }

  #end(event) {
    if (event.pointerId === this.#pointer) this.#pointer = null;
  }

  #changed() {
    this.#picture = null;
    this.#redraw();
    this.dispatchEvent(new Event("ink"));
  }

  #redraw() {
    const { canvas } = this.#shown;
    canvas.width = canvas.height = Math.round(canvas.clientWidth * devicePixelRatio);
    const style = getComputedStyle(canvas);
    draw(this.#shown, this.#strokes, canvas.width / SHEET, style.backgroundColor, style.color);
    if (this.#picture) place(this.#shown, this.#picture);
  }
}

/** Where the pen is, in pixels of the sheet. */
function point({ offsetX, offsetY, target }) {
  return [(offsetX / target.clientWidth) * SHEET, (offsetY / target.clientHeight) * SHEET];
}

/** The picture in the middle of the paper, its pixels as squares. */
function place(context, picture) {
  const { width, height } = context.canvas;
  const scale = Math.min(width / picture.width, height / picture.height) * 0.8;
  const [w, h] = [picture.width * scale, picture.height * scale];
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.imageSmoothingEnabled = scale < 1;
  context.drawImage(picture, (width - w) / 2, (height - h) / 2, w, h);
}

function draw(context, strokes, scale, paper, ink) {
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = paper;
  context.fillRect(0, 0, context.canvas.width, context.canvas.height);
  context.setTransform(scale, 0, 0, scale, 0, 0);
  Object.assign(context, { strokeStyle: ink, lineWidth: PEN, lineCap: "round", lineJoin: "round" });
  for (const [first, ...rest] of strokes) {
    context.beginPath();
    context.moveTo(...first);
    for (const next of rest.length ? rest : [first]) context.lineTo(...next);
    context.stroke();
  }
}
