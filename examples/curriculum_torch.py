"""PyTorch: from simple pictures to busy ones, epoch by epoch.

    clicv2-keras score FOLDER --output scores.csv
    python examples/curriculum_torch.py scores.csv

Bengio et al., "Curriculum learning", ICML 2009: easy examples first. Whether it helps your task, only
your task can tell; the sampler takes any number a file.
"""

import csv
import sys

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, Sampler


def read_scores(path):
    """File and score of each picture that could be scored."""
    with open(path, newline="") as file:
        return [(row["file"], float(row["score"])) for row in csv.DictReader(file) if row["score"]]


class Pictures(Dataset):
    """uint8 (3, 96, 96) and the score of each file."""

    def __init__(self, scored):
        self.scored = scored

    def __len__(self):
        return len(self.scored)

    def __getitem__(self, index):
        file, score = self.scored[index]
        with Image.open(file) as image:
            pixels = np.array(image.convert("RGB").resize((96, 96)))
        return torch.from_numpy(pixels).permute(2, 0, 1), score


class Curriculum(Sampler):
    """Of pictures sorted by score: a share of the simplest that grows to all of them over `epochs`, shuffled."""

    def __init__(self, scores, epochs, start=0.3):
        self.order = torch.argsort(torch.tensor(scores))
        self.epochs, self.start, self.epoch = epochs, start, 0

    def __len__(self):
        share = min(self.start + (1 - self.start) * self.epoch / max(self.epochs - 1, 1), 1)
        return max(round(share * len(self.order)), 1)

    def __iter__(self):
        chosen = self.order[: len(self)]
        return iter(chosen[torch.randperm(len(chosen))].tolist())


if __name__ == "__main__":
    scored = read_scores(sys.argv[1])
    curriculum = Curriculum([score for _, score in scored], epochs=4)
    loader = DataLoader(Pictures(scored), batch_size=4, sampler=curriculum)
    for curriculum.epoch in range(4):
        scores = torch.cat([score for _, score in loader])  # your training step stands here
        print(f"epoch {curriculum.epoch}: {len(scores)} pictures, mean complexity {scores.mean():.3f}")
