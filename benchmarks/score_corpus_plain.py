"""The plainest Ray Data program that scores pictures with PyTorch, as its documentation would have one write it.

Run by `score_corpus.py`; its last word is the pictures a second, the start left out.
"""

import sys
import time
from pathlib import Path

import numpy as np
import ray
import torch
from PIL import Image
from score_rivals import DEVIATION, MEAN, ViTTiny


class Predictor:
    def __init__(self):
        torch.set_num_threads(1)
        self.model = ViTTiny().eval()

    def __call__(self, batch):
        images = []
        for path in batch["path"]:
            with Image.open(path) as image:
                images.append(np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)))
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            scores, _ = self.model((pixels - MEAN) / DEVIATION)
        return {"path": batch["path"], "score": scores.numpy()}


def main():
    files = sorted(map(str, Path(sys.argv[1]).iterdir()))
    ray.init(object_store_memory=256 * 2**20, log_to_driver=False, logging_level="ERROR")
    cores = int(ray.cluster_resources()["CPU"])
    dataset = ray.data.from_items([{"path": file} for file in files], override_num_blocks=len(files) // 16 + 1)
    scores = dataset.map_batches(Predictor, batch_size=16, num_cpus=1, concurrency=cores)
    count = 0
    for number, batch in enumerate(scores.iter_batches(batch_size=None)):
        # Each actor's first block has waited for its start: time begins when these are there.
        if number < cores:
            start = time.perf_counter()
        else:
            count += len(batch["path"])
    print("images/s", count / (time.perf_counter() - start), file=sys.stderr)


if __name__ == "__main__":
    main()
