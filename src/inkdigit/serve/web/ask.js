// Asking the service: one question in flight, at most one waiting, and the newest wins.

const PAUSE_MS = 70; // between the starts of two questions while the pen moves: somebody else may be asking too
const PATIENCE_MS = [1000, 2000, 4000, 8000]; // between tries while the service is away

export class Refusal extends Error {
  // An answer that is none: its HTTP status, what the service says, and when to come back.
  constructor(status, { error, kind } = {}, retryAfter = null) {
    super(error ?? `The service answered with status ${status}.`);
    Object.assign(this, { status, kind, retryAfter });
  }
}

// What is kept until the tab is closed; in memory, where the browser forbids storage.
const memory = new Map();
export const visit = {
  get(name) {
    try {
      return sessionStorage.getItem(name) ?? "";
    } catch {
      return memory.get(name) ?? "";
    }
  },
  set(name, text) {
    try {
      sessionStorage.setItem(name, text);
    } catch {
      memory.set(name, text);
    }
  },
};

// JSON from a route of the service. Throws Refusal; TypeError where nobody answers.
export async function fetchJson(route, options = {}) {
  const headers = { ...options.headers };
  if (visit.get("token")) headers.Authorization = `Bearer ${visit.get("token")}`;
  const response = await fetch(route, { ...options, headers, cache: "no-store" });
  const data = await response.json().catch(() => ({}));
  if (response.ok) return data;
  throw new Refusal(response.status, data, Number(response.headers.get("Retry-After")) || null);
}

export class Asker extends EventTarget {
  #next = null;
  #busy = false;
  #current = null; // the controller of the question in flight
  #away = 0;
  #wake = null; // ends a pause, if what waits may come early

  // Ask about what `blob()` gives when its turn comes. `resting`: the pen does, so do not wait. Events: "answer",
  // "refusal", "busy" (it is asked again soon), "away" (the same), each with what belongs to it in `detail`.
  ask(question) {
    this.#next = question;
    this.#wake?.();
    if (!this.#busy) this.#run();
  }

  // What was asked is no longer of interest.
  forget() {
    this.#next = null;
    this.#current?.abort();
    this.#wake?.();
  }

  async #run() {
    this.#busy = true;
    try {
      while (this.#next) {
        const question = this.#next;
        this.#next = null;
        const begun = performance.now();
        const again = await this.#send(question);
        if (again) this.#next ??= this.#current.signal.aborted ? null : question;
        const rest = again ? again.ms : PAUSE_MS + begun - performance.now();
        const same = this.#next;
        await this.#pause(rest, () => !this.#next || (this.#next.resting && (!again || (again.early && this.#next !== same))));
      }
    } finally {
      this.#busy = false;
    }
  }

  // Wait, but not longer than until `enough()`.
  async #pause(ms, enough) {
    if (ms <= 0 || enough()) return;
    await new Promise((done) => {
      setTimeout(done, ms);
      this.#wake = () => enough() && done();
    });
    this.#wake = null;
  }

  // After how many `ms` the question is to be asked again, and whether a newer one may come earlier; null: done with.
  async #send(question) {
    const controller = (this.#current = new AbortController());
    const tell = (kind, detail) => controller.signal.aborted || this.dispatchEvent(new CustomEvent(kind, { detail }));
    try {
      const blob = await question.blob();
      const wishes = new URLSearchParams(question.resting ? {} : { saliency: "false" }); // which is half of the work
      if (question.model) wishes.set("model", question.model);
      const route = wishes.size ? `explain?${wishes}` : "explain";
      const headers = { "Content-Type": "application/octet-stream" }; // whatever the file calls itself
      const answer = await fetchJson(route, { method: "POST", body: blob, headers, signal: controller.signal });
      this.#away = 0;
      tell("answer", { question, blob, answer });
    } catch (error) {
      if (controller.signal.aborted) return null;
      if (error instanceof Refusal && error.status === 503) {
        tell("busy", error);
        return { ms: 1000 * (error.retryAfter ?? 2), early: false };
      }
      if (!(error instanceof Refusal)) {
        if (!(error instanceof TypeError)) throw error; // ours
        tell("away", error);
        return { ms: PATIENCE_MS[Math.min(this.#away++, PATIENCE_MS.length - 1)], early: true };
      }
      tell("refusal", { question, error });
    }
    return null;
  }
}
