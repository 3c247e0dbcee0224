"""One way to judge a model on labelled images, for whoever asks."""

from clicv2_keras.evaluation.agreement import Judge
from clicv2_keras.evaluation.content import measure_content
from clicv2_keras.evaluation.evaluation import Evaluation
from clicv2_keras.evaluation.features import BATCH, FeatureExtractor
from clicv2_keras.evaluation.folds import Split, make_folds
from clicv2_keras.evaluation.predictors import PREDICTORS, pixels_of, predict


class Evaluator:
    """How far models agree with the scores of labelled images: one `run` a model, compiled once for the same encoder.

    ```python
    evaluator = Evaluator(data, predictors=("ridge",))
    evaluator.run(model).figures["model/ridge/srcc"]
    ```

    What a model says of images to whose labels it was fitted is left out: a model carries their fingerprints.

    Args:
        data: `ScoredImages`.
        predictors: keys of `PREDICTORS`, by default all; those that have nothing to say of a model are passed over.
        test_split: the part to judge on; see `make_folds`.
        untrained_seeds: at how many random initialisations the same encoder is judged beside the model.
        seed: of folds and bootstrap, and the first of the untrained encoders'.
        resamples: of the bootstrap that gives intervals; 0 for none.
        content: also measure what the features tell of the content.
        batch_size: images that a model sees at a time.

    Raises:
        UserError: one line on what is wrong with the data.
    """

    def __init__(
        self,
        data,
        predictors=tuple(PREDICTORS),
        test_split=None,
        untrained_seeds=0,
        seed=0,
        resamples=0,
        content=False,
        batch_size=BATCH,
    ):
        self.data = data
        self.predictors = tuple(predictors)
        self.test_split = test_split
        self.untrained_seeds = untrained_seeds
        self.seed = seed
        self.resamples = resamples
        self.content = content
        self.batch_size = batch_size
        self._extractor = None
        self._split(data)  # a mistake is better told before the work than after it

    def run(self, model, tick=lambda: None):
        """Judge a model.

        Args:
            model: see `judged_model`.
            tick: called after each image.

        Returns:
            An `Evaluation`.

        Raises:
            UserError: where too few images can be read.
        """
        if self._extractor is None or self._extractor.model is not model:
            # Kept for the next call: what is compiled stays in memory.
            seeds = range(self.seed, self.seed + self.untrained_seeds)
            self._extractor = FeatureExtractor(model, seeds, pixels_of(self.predictors), self.batch_size)
        features = self._extractor.extract(self.data.source, tick)
        data = self.data.subset(features.index)
        split, protocol = self._split(data)
        split, alike = split.without_alike(features.fingerprints)
        judged = data.subset(split.test)
        judged_model = self._extractor.judged
        known = judged_model.known(features.fingerprints)
        ranges = judged_model.label_range, data.score_range
        predictions = predict(self.predictors, features, split, known, *ranges)
        pooled = not data.ranked_within_category
        judge = Judge(judged.scores, judged.categories, pooled, self.resamples, self.seed)
        content = []
        if self.content and judged_model.encoder is not None:
            untrained = self._extractor.untrained
            content = measure_content(judged_model.encoder, data, features, untrained, self.seed, self.batch_size)
        return Evaluation(
            model=judged_model,
            data=judged,
            protocol=protocol,
            predictions=predictions,
            agreements=[judge.agreement(prediction) for prediction in predictions],
            judge=judge,
            known=known,
            alike=alike,
            content=content,
            unreadable=features.unreadable,
            total=len(self.data),
        )

    def _split(self, data):
        """The `Split` of the images and a sentence that says so."""
        folds, protocol = make_folds(data, self.test_split, self.seed)
        return Split(folds, data.scores, data.categories, data.ranked_within_category), protocol
