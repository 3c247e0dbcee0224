// Pictures in, cards out: each scored here in turn, shown from the most to the least complex.

import { about } from "./about.js";
import { decode } from "./network_input.js";
import { PictureCard } from "./picture_card.js";
import { Scorer } from "./scorer.js";

const SAMPLES = 6;
const $ = (id) => document.getElementById(id);
// Beside the page, wherever it is served.
const here = (path) => new URL(path, document.baseURI).href;

/** Loaded once, in the background. */
export const scorer = Scorer.load(here("model.tflite"), here("litert/litert_wasm_compat_internal.js"));
const told = fetch(here("model.json")).then((answer) => answer.json());
const cards = [];
let waiting = 0;
let turn = Promise.resolve();

function add(files) {
  for (const file of files) {
    waiting++;
    // In turn: two photographs at once would only take twice the memory.
    turn = turn.then(() => show(file)).catch(() => {});
  }
  report();
}

async function show(file) {
  const card = await scored(file);
  waiting--;
  const place = cards.findIndex((other) => other.rank < card.rank);
  cards.splice(place < 0 ? cards.length : place, 0, card);
  $("pictures").insertBefore(card.element, $("pictures").children[cards.indexOf(card)] ?? null);
  card.onRemove = () => drop(card);
  restyle();
  report();
}

async function scored(file) {
  let bitmap;
  try {
    bitmap = await decode(file);
  } catch {
    return PictureCard.failed(file.name, "not an image that this browser can read");
  }
  try {
    return PictureCard.of(file.name, bitmap, await (await scorer).score(bitmap), (await told).reference);
  } catch (error) {
    return PictureCard.failed(file.name, `could not be scored: ${error.message}`);
  } finally {
    bitmap.close();
  }
}

function drop(card) {
  const place = cards.indexOf(card);
  cards.splice(place, 1);
  card.element.remove();
  // The keyboard goes on from the next card.
  ((cards[place] ?? cards[place - 1])?.element.querySelector("button") ?? $("files")).focus();
  report();
}

function report() {
  const failed = cards.filter((card) => card.failed).length;
  const scored = cards.length - failed;
  const parts = [];
  if (waiting) parts.push(`scoring, ${waiting} to go`);
  if (scored) parts.push(`${scored} ${scored === 1 ? "picture" : "pictures"}, the most complex first`);
  if (failed) parts.push(`${failed} could not be read`);
  $("status").textContent = parts.join(" · ");
  $("controls").hidden = cards.length === 0;
  document.body.classList.toggle("started", cards.length + waiting > 0);
}

function restyle() {
  const stretch = $("stretch").checked;
  for (const card of cards) card.paint(stretch);
  $("low").textContent = stretch ? "its least" : "0";
  $("high").textContent = stretch ? "its most" : "1";
  document.documentElement.style.setProperty("--opacity", $("opacity").value / 100);
  document.querySelector("output").textContent = `${$("opacity").value} %`;
}

async function addSamples() {
  const numbers = Array.from({ length: SAMPLES }, (_, i) => i);
  const answers = await Promise.all(numbers.map((i) => fetch(here(`samples/${i}.png`))));
  add(await Promise.all(answers.map(async (answer, i) => new File([await answer.blob()], `sample ${i + 1}`))));
}

$("files").addEventListener("change", (event) => {
  add(event.target.files);
  event.target.value = ""; // so that the same file can be chosen again
});
$("samples").addEventListener("click", addSamples);
$("opacity").addEventListener("input", restyle);
$("stretch").addEventListener("change", restyle);
$("clear").addEventListener("click", () => {
  for (const card of cards.splice(0)) card.element.remove();
  report();
  $("files").focus();
});
addEventListener("paste", (event) => add(event.clipboardData.files));
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
addEventListener("dragleave", (event) => event.relatedTarget ?? document.body.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  add(event.dataTransfer.files);
});

const metadata = await told;
$("model").textContent = metadata.name;
$("about").textContent = about(metadata);
scorer.catch((error) => {
  $("status").textContent = `The model cannot be run in this browser: ${error.message}`;
  $("status").classList.add("error");
});
