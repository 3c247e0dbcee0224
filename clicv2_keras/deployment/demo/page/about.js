// What the page says of the model it runs, from what the model's file says.

/**
 * Sentences on `metadata`, the file's own, and whether its encoder `saw_labels`; `purpose`, `agreement` and `reference`,
 * whose `photographs` the percentages are among, are there for models that come with the package.
 */
export function about({ label_range, saw_labels, purpose, agreement, reference }) {
  const taught = saw_labels ? "Human labels trained its encoder, not its score" : "No complexity that people judged taught it";
  const said = [
    label_range
      ? "Its last layer was fitted to complexity that people judged; compare scores within a kind of picture."
      : `${taught}: its scores rank pictures, and their level means nothing by itself.`,
  ];
  if (purpose) said.push(`It is for ${plain(purpose)}.`);
  if (agreement) said.push(`Rank correlation with people: ${plain(agreement)}.`);
  if (reference) said.push(`The percentages are among ${reference.photographs}.`);
  return said.join(" ");
}

const plain = (markdown) => markdown.replace(/[*`]/g, "");
