"""Scoring on a Ray cluster: `score_dataset` in a pipeline of one's own, `score_corpus` from inputs to a data set."""

from clicv2_keras.deployment.scoring.ray.dataset import score_dataset as score_dataset
from clicv2_keras.deployment.scoring.ray.job import score_corpus as score_corpus
