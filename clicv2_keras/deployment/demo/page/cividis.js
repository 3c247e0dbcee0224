// Matplotlib's cividis at 16 even steps: equally readable with every kind of colour vision. page.css has the same.
const STEPS = (
  "00224e 002e6c 1e3a6f 35456c 47516c 575d6d 666970 757575 " +
  "848279 948e77 a59c74 b7a96e c8b866 dbc75a eed649 fee838"
)
  .split(" ")
  .map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));

/** The colour `[r, g, b]` of a value in [0, 1]. */
export function cividis(value) {
  const place = Math.min(Math.max(value, 0), 1) * (STEPS.length - 1);
  const below = Math.min(Math.floor(place), STEPS.length - 2);
  return STEPS[below].map((from, i) => from + (place - below) * (STEPS[below + 1][i] - from));
}
