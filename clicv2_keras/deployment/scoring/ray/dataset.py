"""Scores as a step of a Ray Data pipeline."""

import numpy as np
import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, Dataset

from clicv2_keras.deployment.scoring.corpus_members import Member, member_of
from clicv2_keras.deployment.scoring.decoder import SECONDS
from clicv2_keras.deployment.scoring.network import find_tflite
from clicv2_keras.deployment.scoring.parquet import COLUMNS
from clicv2_keras.deployment.scoring.ray.image_scorer import ImageScorer
from clicv2_keras.deployment.scoring.scorer import Scorer
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.paths import StrPath

ADDED = ("score", "width", "height", "error")
# Rows that a worker has at a time.
BATCH = 64


def score_dataset(
    dataset: Dataset,
    column: str = "bytes",
    model: StrPath = "default",
    maps: bool = False,
    embeddings: bool = False,
    workers: int | None = None,
    seconds: int = SECONDS,
) -> Dataset:
    """Score the pictures of a data set: it keeps its columns and gets `score`, `width`, `height` and `error`.

    ```python
    pictures = ray.data.read_parquet("s3://bucket/shards")
    scored = score_dataset(pictures, "jpg")
    scored.filter(lambda row: row["score"] is not None and row["score"] > 0.4).write_parquet("s3://bucket/rich")
    ```

    Each row of `dataset` gives one row. The workers load LiteRT, neither Keras nor TensorFlow. Each picture is decoded
    in a child process of its worker: one that crashes or hangs it has its row, with the error.

    Args:
        dataset: a `ray.data.Dataset`.
        column: of encoded bytes, of paths or URLs, or of pixels, uint8 (H, W, 3) or (H, W); its type says which.
        model: a `.tflite` file of `clicv2-keras export`, or the name of a trained preset.
        maps: also add `map`, float32 (h, w), the mean of which is the score.
        embeddings: also add `embedding`, float32 (D,).
        workers: actors at most, of one core each; by default all cores of the cluster but one, for what reads.
        seconds: that the decoding of one picture may take.

    Returns:
        A `ray.data.Dataset`.

    Raises:
        UserError: one line on what is wrong with `model`, or where a column of that name is there or missing.
    """
    names = dataset.schema().names
    if column not in names:
        raise UserError(f"column {column}: there is none of that name; there are {', '.join(names)}")
    taken = {*ADDED, *(["map"] if maps else []), *(["embedding"] if embeddings else [])}.intersection(names)
    if taken:
        raise UserError(f"column {', '.join(sorted(taken))}: is there already; rename it or drop it first")
    cores = int(ray.cluster_resources().get("CPU", 1))
    return dataset.map_batches(
        _BatchScorer,
        fn_constructor_args=(model_bytes(model), column, maps, embeddings, seconds),
        batch_size=BATCH,
        batch_format="pyarrow",
        # Actors that held every core would wait for ever for tasks that read.
        num_cpus=1 if cores > 1 else 0,
        compute=ActorPoolStrategy(min_size=1, max_size=workers or max(1, cores - 1)),
    )


def model_bytes(model):
    """A reference to the bytes of the `.tflite` file that MODEL stands for, which was tried out.

    Raises:
        UserError: see `Scorer`.
    """
    Scorer(model)
    return ray.put(find_tflite(model).read_bytes())


class _BatchScorer:
    """Adds the columns to a batch."""

    def __init__(self, model, column, maps, embeddings, seconds):
        self._scorer = ImageScorer(ray.get(model), None, seconds)
        self._column, self._maps, self._embeddings = column, maps, embeddings

    def __call__(self, batch):
        found = [self._row(_member(value)) for value in batch.column(self._column)]
        rows, scores = zip(*found, strict=True)
        for name in ADDED:
            batch = batch.append_column(name, pa.array([getattr(row, name) for row in rows], COLUMNS[name]))
        # Lists and not tensors: where there is none, it is null.
        if self._maps:
            maps = [None if score is None else score.map.tolist() for score in scores]
            batch = batch.append_column("map", pa.array(maps, pa.list_(pa.list_(pa.float32()))))
        if self._embeddings:
            vectors = [None if score is None else score.embedding.tolist() for score in scores]
            batch = batch.append_column("embedding", pa.array(vectors, pa.list_(pa.float32())))
        return batch

    def _row(self, member):
        (found,) = self._scorer.rows(member.file, member.source, member.error)
        return found


def _member(value):
    """What is to be scored of a cell."""
    value = value.as_py()
    if value is None or isinstance(value, str | bytes | dict):
        return member_of("", None, value)
    return Member("", source=np.asarray(value))
