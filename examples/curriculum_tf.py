"""tf.data: leave out pictures that are too simple or too busy, and begin with the simple ones.

clicv2-keras score FOLDER --output scores.csv
python examples/curriculum_tf.py scores.csv
"""

import csv
import sys

import numpy as np
import tensorflow as tf


def read_scores(path):
    """Files and scores of the pictures that could be scored, from simple to busy."""
    with open(path, newline="") as file:
        rows = sorted((float(row["score"]), row["file"]) for row in csv.DictReader(file) if row["score"])
    return [file for _, file in rows], np.array([score for score, _ in rows], "float32")


def load(file, score):
    image = tf.io.decode_image(tf.io.read_file(file), channels=3, expand_animations=False)
    return tf.image.resize(image, (96, 96), antialias=True), score


def pictures(files, scores, lowest=0.0, highest=1.0, share=1.0):
    """Batches of the pictures whose scores lie within bounds, of them the simplest `share`."""
    kept = np.flatnonzero((scores >= lowest) & (scores <= highest))
    kept = kept[: max(round(share * len(kept)), 1)]
    dataset = tf.data.Dataset.from_tensor_slices(([files[i] for i in kept], scores[kept]))
    dataset = dataset.shuffle(len(kept)).map(load, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.batch(4).prefetch(tf.data.AUTOTUNE)


if __name__ == "__main__":
    files, scores = read_scores(sys.argv[1])
    # The emptiest tenth teaches little: blank frames, skies, scans of white paper.
    lowest = float(np.quantile(scores, 0.1))
    for epoch in range(4):
        dataset = pictures(files, scores, lowest=lowest, share=0.4 + 0.2 * epoch)
        seen = np.concatenate([score for _, score in dataset.as_numpy_iterator()])  # model.fit(dataset) stands here
        print(f"epoch {epoch}: {len(seen)} pictures, mean complexity {seen.mean():.3f}")
