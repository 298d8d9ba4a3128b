// The search in a page that is opened from a disk: no browser starts a worker there, so a hidden frame does its work.
// Material's plugin `offline` would take such a script from another host; this one has the part that the search needs.
if (location.protocol === "file:") {
  // The search looks for the second name, to know where it is.
  window.Worker = window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inner = frame.contentWindow;
      const load = (script) =>
        new Promise((resolve) => {
          const tag = inner.document.createElement("script");
          tag.src = script;
          tag.onload = resolve;
          inner.document.body.append(tag);
        });
      // What a worker has and a frame has not: its messages go to this object, its scripts are loaded in order.
      inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      inner.importScripts = (...scripts) => scripts.reduce((done, script) => done.then(() => load(script)), Promise.resolve());
      this.inner = inner;
      this.ready = load(url);
    }

    postMessage(data) {
      this.ready.then(() => this.inner.dispatchEvent(new this.inner.MessageEvent("message", { data })));
    }

    terminate() {
      this.inner.frameElement.remove();
    }
  };
}
