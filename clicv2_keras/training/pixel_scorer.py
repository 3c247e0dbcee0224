"""The scorer at the end of a run that was guided by what is counted in pixels: no label has touched it."""

import logging

import numpy as np

from clicv2_keras.data.labelled.joint_sets import join_sets
from clicv2_keras.data.labelled.scored_images import ScoredImages
from clicv2_keras.data.reading import read_images
from clicv2_keras.data.subset import Subset
from clicv2_keras.models import ComplexityScorer, LinearHead
from clicv2_keras.recipe.schema import Labels
from clicv2_keras.training.fit_scorer import fit_scorer
from clicv2_keras.training.pixel_measures import SIDE, counted_complexity, pixel_measures
from clicv2_keras.utils.errors import UserError

log = logging.getLogger(__name__)
# To count takes a tenth of a second an image; a head of some hundred weights needs no more.
MOST = 1000


def pixel_scorer(encoder, source, recipe):
    """A `ComplexityScorer` whose head is fitted to the counted complexity of the first images of a source.

    As steady as one that is fitted to labels: mirroring, slight crops and resizing are to change no score.

    Args:
        encoder: the run's.
        source: its images; the first 1,000, or `guide.sample`, are counted.
        recipe: the `Recipe`.

    Returns:
        The scorer; None, and a line that says why, where a head cannot be fitted to what can be read.
    """
    # A copy: one process computes alone, and the run's own may be spread over several.
    scorer = ComplexityScorer(encoder.copy(), LinearHead(("token", "deviation"), label_range=None))
    numbers = range(min(len(source), recipe.guide.sample, MOST))
    counted = [
        read
        for read in read_images(source, lambda image: counted_complexity(pixel_measures(image)), 2 * SIDE, numbers)
        if not read.error
    ]
    empty = np.full(len(numbers), "")
    scores = np.zeros(len(numbers))
    scores[[read.index for read in counted]] = [read.value for read in counted]
    data = ScoredImages("the counted complexity", Subset(source, numbers), scores, (0.0, 1.0), empty, empty)
    try:
        fit_scorer(scorer, join_sets([data]), Labels().steadiness, recipe.seed)
    except UserError as error:
        log.info(f"no scorer.keras: {error}")
        return None
    return scorer
