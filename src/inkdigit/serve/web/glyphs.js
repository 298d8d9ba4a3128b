// One way to write each digit: control points in hundredths of the height, as in synth/glyphs.py (a test compares them).

export const GLYPHS = [
  "50,2 28,4 16,30 16,74 34,102 58,100 70,70 70,30 58,2 40,2",
  "39,21 47,14 54,0! 52,100",
  "14,26 20,4 52,-6 80,8 76,44 46,72 12,98! 50,94 84,96",
  "18,14 36,-4 72,0 78,34 54,46 36,47! 66,44 86,66 76,100 38,104 14,86",
  "26,2 22,30 10,58! 82,54 | 66,4 62,60 58,100",
  "78,2 30,4! 24,44! 48,32 82,42 84,84 52,106 12,90",
  "64,0 40,16 18,48 10,90 40,108 74,98 76,62 50,50 26,62 16,82",
  "14,6 46,8 82,2! 58,46 44,100",
  "76,12 54,-6 18,4 22,34 50,48 80,66 76,98 46,106 16,94 20,66 48,50 74,32 78,14 66,4",
  "74,18 58,-4 22,4 16,42 40,58 66,44 74,14! 70,60 66,100",
];

// The strokes of digits beside each other, in the middle of a sheet: [[x, y], …] each.
export function strokesOfNumber(digits, [width, height]) {
  const side = Math.min(0.8 * height, (1.4 * width) / digits.length); // they are closer than on sheets of their own
  const step = 0.62 * side;
  const left = (width - step * (digits.length - 1) - side) / 2;
  return [...digits].flatMap((digit, i) => strokes(Number(digit), side, [left + i * step, (height - side) / 2]));
}

// The strokes of a digit on a sheet of `side` pixels, a little different each time: [[x, y], …] each.
export function strokes(digit, side, [x0, y0] = [0, 0]) {
  const scale = 0.62 * side;
  const [left, top] = [x0 + 0.24 * side, y0 + 0.19 * side];
  const stray = () => (Math.random() - 0.5) * 5;
  const slant = (Math.random() - 0.5) * 0.16;
  return GLYPHS[digit].split("|").map((stroke) => {
    const words = stroke.trim().split(/\s+/);
    const points = words.map((word) => word.replace("!", "").split(",").map((number) => Number(number) + stray()));
    const corners = words.map((word, i) => word.endsWith("!") || i === 0 || i === words.length - 1);
    return curve(points, corners).map(([x, y]) => [left + ((x - slant * (y - 50)) * scale) / 100, top + (y * scale) / 100]);
  });
}

// Corners are cut at a quarter and three quarters, again and again (Chaikin 1974), but not those that are meant.
function curve(points, corners) {
  const pieces = [];
  for (let i = 0, begin = 0; i < points.length; i++) {
    if (!i || !corners[i]) continue;
    pieces.push(...smooth(points.slice(begin, i + 1)));
    begin = i;
  }
  return pieces;
}

function smooth(points, rounds = 4) {
  if (points.length === 2) return Array.from({ length: 17 }, (_, i) => between(points[0], points[1], i / 16));
  for (let round = 0; round < rounds; round++) {
    const cut = points.slice(1).flatMap((point, i) => [between(points[i], point, 0.25), between(points[i], point, 0.75)]);
    points = [points[0], ...cut.slice(1, -1), points.at(-1)];
  }
  return points;
}

function between(a, b, along) {
  return [a[0] + (b[0] - a[0]) * along, a[1] + (b[1] - a[1]) * along];
}
