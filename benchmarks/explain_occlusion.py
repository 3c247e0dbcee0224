"""What an explanation is worth: `python benchmarks/explain_occlusion.py MODEL IMAGE...`

Each patch in turn is replaced by its mean colour; by how much the score falls is what the patch was worth. Printed, for
each image and on average: the rank correlation of that fall, over the patches, with the map and with each saliency.
"""

import sys

import numpy as np
from scipy.stats import spearmanr

import clicv2_keras
from clicv2_keras.data.reading import load_images
from clicv2_keras.data.sources import FileSource
from clicv2_keras.explanation import METHODS
from clicv2_keras.models.find_model import find_model, scorer_of

scorer, files = scorer_of(find_model(sys.argv[1])), sys.argv[2:]
side, (rows, columns) = scorer.encoder.patch_size, scorer.encoder.grid
table = []
for number, explanation in enumerate(clicv2_keras.explain(files, scorer, list(METHODS), output=None)):
    image = load_images(FileSource(files), [number], scorer.encoder.image_size)
    occluded = image.repeat(rows * columns, axis=0)
    for index, (row, column) in enumerate(np.ndindex(rows, columns)):
        patch = occluded[index, row * side : (row + 1) * side, column * side : (column + 1) * side]
        patch[:] = patch.mean(axis=(0, 1))
    fall = explanation.score - scorer.predict(occluded, verbose=0)["score"]
    # Saliency on the pixels is averaged over each patch.
    grids = [grid.reshape(rows, -1, columns, grid.shape[1] // columns) for grid in explanation.grids.values()]
    table.append([spearmanr(grid.mean(axis=(1, 3)).ravel(), fall)[0] for grid in grids])
    print(explanation.file, np.round(table[-1], 2))
print("mean of", ", ".join(explanation.grids), np.round(np.mean(table, axis=0), 3))
