// What a number means: where it lies among the scores of a known set of photographs.

/** How many of `scores` are below `score`, in percent; of those that are the same, half. As Percentiles has it. */
export function percentile(score, scores) {
  const below = scores.filter((other) => other < score).length;
  const notAbove = scores.filter((other) => other <= score).length;
  return (50 * (below + notAbove)) / scores.length;
}
