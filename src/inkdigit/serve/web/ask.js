// Requests to the service: one in flight, at most one waiting, and the newest replaces it.

const PAUSE_MS = 70; // between the starts of two requests while the pen moves: others use the service too
const RETRY_MS = [1000, 2000, 4000, 8000]; // between tries while the service does not answer

export class Refusal extends Error {
  // An error of the service: its HTTP status, message and kind, and when to try again.
  constructor(status, { error, kind } = {}, retryAfter = null) {
    super(error ?? `The service answered with status ${status}.`);
    Object.assign(this, { status, kind, retryAfter });
  }
}

// Values that last until the tab is closed; in memory, where the browser forbids storage.
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

// JSON from a route of the service. Throws Refusal, or TypeError if the service does not answer.
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
  #wake = null; // ends a pause, if the waiting question may start early

  // Send what `blob()` returns to `route` with `query` when its turn comes. `resting`: the pen rests, so do not wait.
  // Events: "answer", "refusal", "busy" and "away" (after both it is sent again), each with its data in `detail`.
  ask(question) {
    this.#next = question;
    this.#wake?.();
    if (!this.#busy) this.#run();
  }

  // Drop all questions.
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

  // After how many `ms` the question is sent again, and whether a newer one may start earlier; null: it is done.
  async #send(question) {
    const controller = (this.#current = new AbortController());
    const emit = (kind, detail) => controller.signal.aborted || this.dispatchEvent(new CustomEvent(kind, { detail }));
    try {
      const blob = await question.blob();
      const query = new URLSearchParams(question.query);
      const route = query.size ? `${question.route}?${query}` : question.route;
      const headers = { "Content-Type": "application/octet-stream" }; // whatever the type of the file
      const answer = await fetchJson(route, { method: "POST", body: blob, headers, signal: controller.signal });
      this.#away = 0;
      emit("answer", { question, blob, answer });
    } catch (error) {
      if (controller.signal.aborted) return null;
      if (error instanceof Refusal && error.status === 503) {
        emit("busy", error);
        return { ms: 1000 * (error.retryAfter ?? 2), early: false };
      }
      if (!(error instanceof Refusal)) {
        if (!(error instanceof TypeError)) throw error; // a bug
        emit("away", error);
        return { ms: RETRY_MS[Math.min(this.#away++, RETRY_MS.length - 1)], early: true };
      }
      emit("refusal", { question, error });
    }
    return null;
  }
}
