// The card of a model file: what the model is, how its pictures are prepared, and what it rejects.
// In: the bytes of an ONNX file, which are a protocol buffer. Out: the JSON under the key "inkdigit.card".
// ONNX Runtime Web does not give the metadata of a file, and these few bytes are all that is needed of the format.

const METADATA = 14; // the field of ModelProto, as onnx.proto numbers it; its entries have a key (1) and a value (2)
const [NUMBER, EIGHT_BYTES, BYTES, FOUR_BYTES] = [0, 1, 2, 5]; // wire types

/** @param {Uint8Array} file @returns {object} @throws {Error} it has no card, or one of a later format */
export function readCard(file) {
  for (const { field, value } of fields(file)) {
    if (field !== METADATA) continue;
    const [key, text] = [1, 2].map((part) => new TextDecoder().decode([...fields(value)].find((one) => one.field === part)?.value));
    if (key === "inkdigit.card") return checked(JSON.parse(text));
  }
  throw new Error("This is not a model file of Inkdigit: it has no card.");
}

function checked(card) {
  if (card.format !== 1) throw new Error(`Unknown card format. Expected: 1. Received: ${card.format}.`);
  if ((card.task ?? "digit") !== "digit") throw new Error("This model reads whole numbers. Expected: one for single digits.");
  return card;
}

/** The fields of one message; values that are not bytes are left out. */
function* fields(bytes) {
  let at = 0;
  const number = () => {
    for (let value = 0, unit = 1; ; unit *= 128) {
      if (at >= bytes.length) throw new Error("This is not an ONNX file, or it is cut short.");
      const byte = bytes[at++];
      value += (byte & 127) * unit;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = number();
    const [field, type] = [Math.floor(tag / 8), tag % 8];
    if (type === BYTES) {
      const length = number();
      if (at + length > bytes.length) throw new Error("This is not an ONNX file, or it is cut short.");
      yield { field, value: bytes.subarray(at, at + length) };
      at += length;
    } else if (type === NUMBER) number();
    else if (type === EIGHT_BYTES) at += 8;
    else if (type === FOUR_BYTES) at += 4;
    else throw new Error("This is not an ONNX file.");
  }
}
