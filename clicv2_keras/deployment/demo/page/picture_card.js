// One picture: itself, beside it its map over it in grey, its score; or why there is none.

import { cividis } from "./cividis.js";
import { percentile } from "./percentile.js";

const SIDE = 640; // of the picture as it is shown, in pixels

export class PictureCard {
  /**
   * From an `ImageBitmap` and what `Scorer.score` says of it; `reference`, where the model has one, holds the `scores`
   * of everyday photographs.
   */
  static of(name, bitmap, { score, map, rows, columns }, reference) {
    const card = new PictureCard(name, score);
    const { width, height } = bitmap;
    const scale = Math.min(SIDE / Math.max(width, height), 1);
    card.grid = canvas("map", columns, rows);
    card.map = map;
    const picture = canvas("picture", Math.max(width * scale, 1), Math.max(height * scale, 1));
    const context = picture.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, picture.width, picture.height);
    const under = canvas("under", picture.width, picture.height);
    under.getContext("2d").drawImage(picture, 0, 0);
    const frames = [stage(name, [picture]), stage(`${name}, its complexity map over it`, [under, card.grid])];
    const pair = element("div", width > height ? "pair wide" : "pair", frames);
    pair.style.setProperty("--ratio", width / height);
    const number = element("data", "score", [score.toFixed(3)]);
    number.value = score;
    const [low, high] = card.range;
    card.element.prepend(pair);
    card.caption.prepend(number);
    const facts = `${width} × ${height} · patches ${low.toFixed(2)} to ${high.toFixed(2)}`;
    if (reference) {
      const share = Math.round(percentile(score, reference.scores));
      card.caption.append(element("span", "among", [`busier than ${share} % of everyday photographs`]));
    }
    card.caption.append(element("span", "quiet", [facts]));
    return card;
  }

  static failed(name, reason) {
    const card = new PictureCard(name, -1);
    card.element.classList.add("failed");
    card.caption.append(element("span", "error", [reason]));
    return card;
  }

  constructor(name, rank) {
    this.rank = rank;
    const remove = element("button", "remove", ["×"]);
    remove.type = "button";
    remove.setAttribute("aria-label", `Remove ${name}`);
    remove.addEventListener("click", () => this.onRemove());
    this.caption = element("div", "caption", [element("span", "name", [name || "pasted picture"])]);
    this.caption.firstChild.title = name; // it may be cut off
    this.element = element("li", "card", [this.caption, remove]);
  }

  get failed() {
    return this.rank < 0;
  }

  get range() {
    return [Math.min(...this.map), Math.max(...this.map)];
  }

  /** Colour the map: from 0 to 1, or from the picture's own least value to its most. */
  paint(stretch) {
    if (this.failed) return;
    const [low, high] = stretch ? this.range : [0, 1];
    const pixels = new ImageData(this.grid.width, this.grid.height);
    this.map.forEach((value, i) => pixels.data.set([...cividis((value - low) / (high - low || 1)), 255], 4 * i));
    this.grid.getContext("2d").putImageData(pixels, 0, 0);
  }
}

function element(tag, className, children) {
  const node = document.createElement(tag);
  node.className = className;
  node.append(...children);
  return node;
}

function stage(label, layers) {
  const frame = element("div", "frame", layers);
  frame.setAttribute("role", "img");
  frame.setAttribute("aria-label", label);
  return element("div", "stage", [frame]);
}

function canvas(className, width, height) {
  return Object.assign(document.createElement("canvas"), { className, width, height });
}
