// A picture as the model takes it: upright, RGB, alpha over white, the whole of it S × S pixels, as Pillow's BILINEAR
// makes them: a triangle filter as wide as the reduction, rows first, then columns, rounded to 8 bits after each.

const BITS = 22; // of the weights' fraction
const STRIP = 256; // rows at a time: a photograph never lies in memory as RGBA

/** Decode a `Blob`, upright, its colours as they are stored. Rejects what the browser cannot read. */
export function decode(blob) {
  const asStored = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  return createImageBitmap(blob, { imageOrientation: "from-image", ...asStored });
}

/** The pixels of an `ImageBitmap` as a `Uint8Array` of size × size × 3 values, 0 to 255. */
export function networkInput(bitmap, size) {
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, Math.min(height, STRIP));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  const columns = triangles(width, size);
  const narrow = new Uint8ClampedArray(height * size * 3);
  for (let top = 0; top < height; top += STRIP) {
    const rows = Math.min(STRIP, height - top);
    context.fillRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, -top);
    const rgba = context.getImageData(0, 0, width, rows).data;
    for (let y = 0; y < rows; y++)
      for (let x = 0; x < size; x++)
        for (let c = 0; c < 3; c++)
          narrow[((top + y) * size + x) * 3 + c] = weighted(rgba, y * width * 4 + c, 4, columns[x]);
  }
  const image = new Uint8ClampedArray(size * size * 3);
  const step = size * 3;
  triangles(height, size).forEach((row, y) => {
    for (let i = 0; i < step; i++) image[y * step + i] = weighted(narrow, i, step, row);
  });
  return new Uint8Array(image.buffer);
}

/** For each of `size` outputs over `length` inputs: the first input it reads, and the weights of those from there. */
function triangles(length, size) {
  const scale = length / size;
  const reach = Math.max(scale, 1);
  return Array.from({ length: size }, (_, i) => {
    const center = (i + 0.5) * scale;
    const first = Math.max(Math.trunc(center - reach + 0.5), 0);
    const end = Math.min(Math.trunc(center + reach + 0.5), length);
    const height = (_, k) => Math.max(1 - Math.abs(first + k - center + 0.5) / reach, 0);
    const heights = Array.from({ length: end - first }, height);
    const total = heights.reduce((sum, h) => sum + h, 0);
    return { first, weights: Int32Array.from(heights, (h) => Math.round((h / total) * 2 ** BITS)) };
  });
}

function weighted(values, start, step, { first, weights }) {
  let sum = 1 << (BITS - 1);
  for (let k = 0, at = start + first * step; k < weights.length; k++, at += step) sum += values[at] * weights[k];
  return sum >> BITS;
}
