"""How far an export is from the Keras model it was made from, on which images, and how far it may be."""

import itertools
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from scipy import stats

from clicv2_keras.data.reading import read_images
from clicv2_keras.data.sources import FileSource, ProceduralSource
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.images import network_input

COMPARED, CALIBRATED = 200, 100
UNSEEN_SEED = 2**31 - 4
# Largest difference of the score and of the map; least rank correlation of the scores. In float16 the roundings of a
# convolutional stem add up in single patches (.007 of the map at worst, of 28,800 patches), and hardly in their mean.
BOUNDS = {
    "none": {"score": 1e-5, "map": 1e-4},
    "float16": {"score": 3e-3, "map": 1e-2},
    "dynamic": {"srcc": 0.995},
    "int8": {"srcc": 0.995},
}


@dataclass(frozen=True)
class Parity:
    """An export beside its Keras model, on the same images.

    Args:
        images: how many.
        score_max, score_mean, map_max, map_mean: differences, in units of the score.
        pcc, srcc: correlation of the scores.
        worst: the name of the image whose score differs most.
        size: of the file or folder, bytes.
        milliseconds: an image, by number of threads; empty for a SavedModel.
    """

    images: int
    score_max: float
    score_mean: float
    map_max: float
    map_mean: float
    pcc: float
    srcc: float
    worst: str
    size: int
    milliseconds: dict

    @classmethod
    def measure(cls, expected, found, names, size, milliseconds):
        """Of the outputs `expected` and `found`, dicts of `score` (n,) and `map` (n, h, w), of the images `names`."""
        score = np.abs(found["score"] - expected["score"])
        grid = np.abs(found["map"] - expected["map"])
        constant = np.ptp(expected["score"]) == 0 or np.ptp(found["score"]) == 0
        # What is no number is as far away as can be.
        worst = int(np.argmax(np.nan_to_num(score, nan=np.inf)))
        return cls(
            images=len(score),
            score_max=float(score.max()),
            score_mean=float(score.mean()),
            map_max=float(grid.max()),
            map_mean=float(grid.mean()),
            pcc=float("nan") if constant else float(stats.pearsonr(expected["score"], found["score"]).statistic),
            srcc=float("nan") if constant else float(stats.spearmanr(expected["score"], found["score"]).statistic),
            worst=names[worst],
            size=size,
            milliseconds=milliseconds,
        )

    def failure(self, quantize):
        """A line that says which bound is broken and on which image, or None. Not a number breaks every bound."""
        bounds = BOUNDS[quantize]
        for what in ("score", "map"):
            difference = getattr(self, f"{what}_max")
            if what in bounds and not difference <= bounds[what]:
                return f"its {what} is {difference:.2g} off on {self.worst}, more than the {bounds[what]:g} allowed"
        if "srcc" in bounds and not self.srcc >= bounds["srcc"]:
            return (
                f"its scores rank the images as the Keras model's do to an SRCC of {self.srcc:.4f} only, less than "
                f"{bounds['srcc']}; the worst is {self.worst}, {self.score_max:.2g} off"
            )
        return None

    def rows(self):
        """Pairs of text, for a table."""
        return [
            ("images", str(self.images)),
            ("score, largest difference", f"{self.score_max:.2g}"),
            ("score, mean difference", f"{self.score_mean:.2g}"),
            ("map, largest difference", f"{self.map_max:.2g}"),
            ("map, mean difference", f"{self.map_mean:.2g}"),
            ("PCC of the scores", f"{self.pcc:.5f}"),
            ("SRCC of the scores", f"{self.srcc:.5f}"),
            ("furthest off", self.worst),
            ("size", f"{self.size / 1e6:.2f} MB"),
            *((f"an image on {n} thread{'s'[: n > 1]}", f"{ms:.1f} ms") for n, ms in self.milliseconds.items()),
        ]


def run_tflite(path, images):
    """Outputs of a `.tflite` file for uint8 images (n, S, S, 3), and milliseconds an image on 1 and on 2 threads."""
    milliseconds = {}
    for threads in (2, 1):
        interpreter = Interpreter(str(path), num_threads=threads)
        run = interpreter.get_signature_runner("serving_default")
        times, out = [], []
        for image in images:
            start = time.perf_counter()
            out.append(run(image=image[None]))
            times.append(1000 * (time.perf_counter() - start))
        milliseconds[threads] = statistics.median(times)
    outputs = {name: np.concatenate([o[name] for o in out]) for name in ("score", "map", "embedding")}
    return outputs, dict(sorted(milliseconds.items()))


class Exported(NamedTuple):
    """What `export` returns: where the model is, and its `Parity` with the Keras model."""

    path: Path
    parity: Parity


class Compared(NamedTuple):
    """Images at a model's size, uint8 (n, S, S, 3): those that judge an export and their names, and others that int8 is
    calibrated on."""

    judged: np.ndarray
    names: list
    calibration: np.ndarray


def images_to_compare_on(path, size):
    """200 images that judge an export, and up to 100 that calibrate it, both spread evenly.

    Args:
        path: a folder of images. None draws procedural ones.
        size: S.

    Returns:
        `Compared`.

    Raises:
        UserError: where fewer than 200 images can be read.
    """
    wanted = COMPARED + CALIBRATED
    source = ProceduralSource(wanted, size, UNSEEN_SEED) if path is None else FileSource.from_folder(path)
    count = len(source)
    spread = np.linspace(0, count - 1, min(count, wanted)).round().astype(int)
    # In place of what cannot be read, any other.
    order = [*spread.tolist(), *np.setdiff1d(np.arange(count), spread).tolist()]
    reads = read_images(source, lambda image: network_input(image, size), 2 * size, order)
    readable = list(itertools.islice((read for read in reads if not read.error), wanted))
    if len(readable) < COMPARED:
        raise UserError(f"{path}: {len(readable)} readable images are too few to compare on; give {COMPARED} or more")
    images, others = np.stack([read.value for read in readable]), len(readable) - COMPARED
    # Of 300 every third.
    calibrates = np.zeros(len(readable), bool)
    calibrates[np.arange(1, others + 1) * len(readable) // max(others, 1) - 1] = True
    names = [read.name for read, other in zip(readable, calibrates, strict=True) if not other]
    return Compared(images[~calibrates], names, images[calibrates])
