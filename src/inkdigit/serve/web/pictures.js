// How pictures get onto the page: chosen, photographed, pasted, dropped.

const $ = (id) => document.getElementById(id);

// Calls `put` with a list of files.
export function takePictures(put) {
  for (const [button, input] of [["choose", "file"], ["photograph", "camera"]]) {
    $(button).addEventListener("click", () => $(input).click());
    $(input).addEventListener("change", () => {
      put([...$(input).files]);
      $(input).value = "";
    });
  }
  addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (!files.length) return;
    event.preventDefault();
    put(files);
  });
  let inside = 0; // dragenter and dragleave occur for every element under the pointer
  addEventListener("dragenter", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    inside++;
    $("dropping").hidden = false;
  });
  addEventListener("dragleave", () => {
    inside = Math.max(0, inside - 1);
    if (!inside) $("dropping").hidden = true;
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    inside = 0;
    $("dropping").hidden = true;
    put([...event.dataTransfer.files]);
  });
}
