// The paper: strokes, their history, and two canvases of them: a sharp one for the eye, and one to be sent.
// The service scales images, so nothing here does: both canvases are drawn from the same strokes.

// Shapes of the paper, [width, height]: pixels of the canvas that is sent; points of strokes are in them.
export const SQUARE = [224, 224]; // for a digit: eight for each of the network's
export const STRIP = [800, 320]; // for a number: several digits beside each other, each drawn with as thin a pen as on paper
const INK = "#14171f";
const HISTORY = 200; // steps that can be undone

export class Paper extends EventTarget {
  #canvas;
  #shown; // contexts: for the eye, and to be sent
  #sheet;
  #shape = SQUARE;
  #states = [EMPTY];
  #at = 0;
  #others = new Map(); // the histories of the shapes that are not shown
  #stroke = null; // while the pen is down
  #pointer = null;
  thickness = 14;

  // `canvas` is for the eye. Events: "ink" while the pen moves, "change" when a step is done, undone or redone.
  constructor(canvas) {
    super();
    this.#canvas = canvas;
    this.#shown = canvas.getContext("2d");
    const sheet = new OffscreenCanvas(...SQUARE);
    this.#sheet = sheet.getContext("2d", { alpha: false });
    new ResizeObserver(() => this.#fit()).observe(canvas);
    const on = (kind, call) => canvas.addEventListener(kind, call);
    on("pointerdown", (event) => this.#begin(event));
    on("pointermove", (event) => this.#move(event));
    on("pointerup", (event) => this.#end(event));
    on("pointercancel", (event) => this.#end(event));
    on("contextmenu", (event) => this.#stroke && event.preventDefault());
    this.#redraw();
  }

  // What is on the paper: `strokes`, or a `picture` (a File).
  get state() {
    return this.#states[this.#at];
  }
  get drawing() {
    return this.#stroke !== null;
  }
  get blank() {
    return !this.drawing && !this.state.picture && !this.state.strokes.length;
  }
  get canUndo() {
    return this.#at > 0;
  }
  get canRedo() {
    return this.#at < this.#states.length - 1;
  }

  undo() {
    if (this.canUndo && !this.drawing) this.#go(this.#at - 1);
  }
  redo() {
    if (this.canRedo && !this.drawing) this.#go(this.#at + 1);
  }
  clear() {
    if (!this.blank && !this.drawing) this.#push(EMPTY);
  }
  put(picture) {
    if (!this.drawing) this.#push({ picture, strokes: [] });
  }

  // Take paper of another shape. A picture goes along; a drawing waits until its paper is taken again.
  turn(shape) {
    if (shape === this.#shape) return;
    if (this.drawing) this.#finish();
    const { picture } = this.state;
    this.#others.set(this.#shape, [this.#states, this.#at]);
    [this.#states, this.#at] = this.#others.get(shape) ?? [[EMPTY], 0];
    this.#shape = shape;
    [this.#sheet.canvas.width, this.#sheet.canvas.height] = shape;
    this.#fit();
    if (picture && picture !== this.state.picture) this.#push({ picture, strokes: [] });
    else this.#go(this.#at);
  }

  // Draw a stroke like a person, in about `ms`; `points` are [x, y] in pixels of the canvas that is sent.
  async trace(points, ms) {
    const begun = performance.now();
    this.#start(points[0]);
    for (let i = 1; i < points.length && this.#stroke; ) {
      const due = ms ? Math.ceil(((performance.now() - begun) / ms) * points.length) : points.length;
      for (; i < Math.min(due, points.length); i++) this.#add([...points[i], 1]);
      this.dispatchEvent(new Event("ink"));
      if (i < points.length) await new Promise(requestAnimationFrame);
    }
    this.#finish();
  }

  // The drawing as a PNG, or the file that was chosen: a Blob.
  async blob() {
    return this.state.picture && !this.drawing ? this.state.picture : this.#sheet.canvas.convertToBlob();
  }

  #begin(event) {
    if (this.#stroke || event.button !== 0 || !event.isPrimary) return;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#pointer = event.pointerId;
    this.#start(this.#point(event));
    this.dispatchEvent(new Event("ink"));
  }

  #move(event) {
    if (!this.#stroke || event.pointerId !== this.#pointer) return;
    const all = event.getCoalescedEvents?.() ?? [];
    for (const each of all.length ? all : [event]) this.#add(this.#point(each));
    this.dispatchEvent(new Event("ink"));
  }

  #end(event) {
    if (event.pointerId !== this.#pointer) return;
    this.#pointer = null;
    this.#finish();
  }

  #start(point) {
    if (this.state.picture) this.#wipe(); // a new drawing; undo brings the picture back
    this.#stroke = { width: this.thickness, points: [] };
    this.#add(point);
  }

  #add([x, y, press = 1]) {
    const { points, width } = this.#stroke;
    const last = points.at(-1);
    if (last && Math.hypot(x - last[0], y - last[1]) < 0.6) return;
    points.push([x, y, press]);
    const [from, to] = points.length === 1 ? [0, 1] : [points.length - 2, points.length - 1]; // where it continues is not known
    for (const context of [this.#shown, this.#sheet]) draw(context, points, width, from, to);
  }

  #finish() {
    if (!this.#stroke) return; // the paper was turned meanwhile
    const stroke = this.#stroke;
    this.#stroke = null;
    this.#push({ picture: null, strokes: [...this.state.strokes, stroke] });
  }

  // x and y in pixels of the canvas that is sent; the pressure of a pen, 1 for a device without pressure.
  #point(event) {
    const box = this.#canvas.getBoundingClientRect();
    const press = event.pointerType === "pen" && event.pressure ? 0.45 + 1.1 * event.pressure : 1;
    const [width, height] = this.#shape;
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height, press];
  }

  #push(state) {
    this.#states = [...this.#states.slice(0, this.#at + 1), state].slice(-HISTORY);
    this.#go(this.#states.length - 1);
  }

  #go(at) {
    this.#at = at;
    this.#redraw();
    this.dispatchEvent(new Event("change"));
  }

  // Use as many pixels as the screen has.
  #fit() {
    const width = Math.round(this.#canvas.clientWidth * devicePixelRatio);
    const height = Math.round((width * this.#shape[1]) / this.#shape[0]);
    if (!width || (width === this.#canvas.width && height === this.#canvas.height)) return;
    this.#canvas.width = width;
    this.#canvas.height = height;
    this.#redraw();
  }

  #wipe() {
    const scale = this.#canvas.width / this.#shape[0];
    this.#shown.setTransform(scale, 0, 0, scale, 0, 0);
    this.#shown.clearRect(0, 0, ...this.#shape);
    this.#sheet.fillStyle = "#fff";
    this.#sheet.fillRect(0, 0, ...this.#shape);
  }

  #redraw() {
    this.#wipe();
    for (const { points, width } of [...this.state.strokes, ...(this.#stroke ? [this.#stroke] : [])]) {
      for (const context of [this.#shown, this.#sheet]) draw(context, points, width);
    }
  }
}

const EMPTY = { picture: null, strokes: [] };

// Draws a stroke, or its part around some points: curves between the middles of its pieces, as wide as the pen presses.
function draw(context, points, width, from = 0, to = points.length) {
  context.strokeStyle = INK;
  context.lineCap = context.lineJoin = "round";
  const middle = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  for (let i = from; i < to; i++) {
    const [before, point, after] = [points[i - 1], points[i], points[i + 1]];
    const begin = before ? middle(before, point) : point;
    const end = after ? middle(point, after) : point;
    context.lineWidth = width * (before ? (before[2] + point[2]) / 2 : point[2]);
    context.beginPath();
    context.moveTo(begin[0], begin[1]);
    context.quadraticCurveTo(point[0], point[1], end[0], end[1]);
    context.stroke();
  }
}
