"""What layout gives away of views that keep a part of their patches: `python benchmarks/layout_in_parts.py FOLDER`

By share kept and patches in common (contrast.keep_ratio and contrast.tokens): how often the grey thumbnail of one view
finds its image's other view among 64, the mean of 8 batches; no network. As `layout_retrieval` of a run.
"""

import argparse
import itertools

import numpy as np
from keras import ops

from clicv2_keras.data.pipeline import training_dataset
from clicv2_keras.data.sources import open_source
from clicv2_keras.models import ContrastiveBranch, ViTEncoder

SIZE, BATCH, BATCHES = 96, 64, 8


def main(options):
    source = open_source("folder", options.folder)
    encoder = ViTEncoder(image_size=SIZE, width=16, depth=1, num_heads=2)
    for jitter, grey in ((0.2, 0.0), (0.4, 0.5)):
        data = training_dataset(
            source, image_size=SIZE, batch_size=BATCH, min_area=0.5, jitter=jitter, grey=grey, seed=options.seed
        )
        batches = list(itertools.islice(data.as_numpy_iterator(), BATCHES))
        for ratio, tokens in ((1.0, 16), (0.5, 16), (0.5, 8), (0.5, 4), (0.25, 8), (0.25, 4), (0.25, 2)):
            branch = ContrastiveBranch(tokens=tokens, keep_ratio=ratio, projector_hidden=8, projection_dim=8, seed=0)
            branch.build_for(encoder)
            found = [branch(batch["view_a"], batch["view_b"], encoder=encoder)["layout_retrieval"] for batch in batches]
            found = np.mean([ops.convert_to_numpy(each) for each in found])
            print(f"jitter {jitter}, grey {grey}: keep {ratio}, {tokens} in common: {found:.2f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
