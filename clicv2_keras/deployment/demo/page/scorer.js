// A `.tflite` file of clicv2-keras on LiteRT in the browser (npm: @litertjs/core).

import { Tensor, loadAndCompile, loadLiteRt } from "@litertjs/core";
import { networkInput } from "./network_input.js";

export class Scorer {
  /** `model`: address of the `.tflite` file; `runtime`: address of LiteRT's litert_wasm_compat_internal.js. */
  static async load(model, runtime) {
    await loadLiteRt(runtime);
    return new Scorer(await loadAndCompile(model, { accelerator: "wasm" }));
  }

  constructor(model) {
    this.model = model;
    this.size = model.getInputDetails()[0].shape[1];
  }

  /** Score an `ImageBitmap`: `{ score, map, rows, columns, embedding }`; score and map in [0, 1], the map row by row. */
  async score(bitmap) {
    const image = new Tensor(networkInput(bitmap, this.size), [1, this.size, this.size, 3]);
    const outputs = await this.model.run({ image });
    const [, rows, columns] = outputs.map.type.layout.dimensions;
    const result = { rows, columns };
    for (const name of ["score", "map", "embedding"]) result[name] = (await outputs[name].data()).slice();
    // LiteRT's memory is outside the reach of the garbage collector.
    for (const tensor of [image, ...Object.values(outputs)]) tensor.delete();
    return { ...result, score: result.score[0] };
  }
}
