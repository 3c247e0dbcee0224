"""The public surface as a user's type checker sees it: read by mypy, see `.ci/run`, and never run."""

from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import numpy as np
from PIL import Image

import clicv2_keras
from clicv2_keras.data.records.writer import Prepared
from clicv2_keras.deployment.exporting.parity import Exported
from clicv2_keras.deployment.scoring.many import Scores
from clicv2_keras.deployment.scoring.ray import score_corpus, score_dataset
from clicv2_keras.deployment.scoring.ray.summary import Summary
from clicv2_keras.evaluation.class_probe import Top1
from clicv2_keras.training.run import TrainedRun

assert_type(clicv2_keras.list_models(), list[clicv2_keras.ModelSummary])
assert_type(clicv2_keras.load_recipe("quickstart"), clicv2_keras.Recipe)
assert_type(clicv2_keras.describe_run("quickstart", ["train.steps=1"]), str)
assert_type(clicv2_keras.train(clicv2_keras.load_recipe(Path("recipe.yaml")), resume=True), TrainedRun)
assert_type(clicv2_keras.prepare("photos", Path("packed"), side=256), Prepared)
assert_type(clicv2_keras.finetune(root="table.csv", output=None), clicv2_keras.ComplexityScorer)
assert_type(clicv2_keras.finetune(dataset=["csv", "savoias"], root=["a.csv", "b"]), clicv2_keras.ComplexityScorer)
assert_type(clicv2_keras.export("run", quantize="dynamic", output=Path("model.tflite")), Exported)
assert_type(clicv2_keras.top1(root="imagenet"), Top1)
assert_type(clicv2_keras.ablate("quickstart", vary=["seed=1,2"]), clicv2_keras.Ablation)
assert_type(clicv2_keras.evaluate(root="table.csv"), clicv2_keras.Evaluation)
assert_type(clicv2_keras.explain(["a.jpg", Path("photos")], "model.tflite"), list[clicv2_keras.Explanation])
assert_type(clicv2_keras.score(Path("photos"), tile=256), Iterator[clicv2_keras.Row])
assert_type(clicv2_keras.score_to_file("photos", "scores.csv", report=print), clicv2_keras.Counts)
scorer = clicv2_keras.Scorer(threads=2)
assert_type(scorer.score("photo.jpg").score, float)
assert_type(scorer.score(Image.new("RGB", (8, 8))).map, np.ndarray)
assert_type(scorer.score([Path("a.jpg"), b"\xff\xd8"]), list[clicv2_keras.Score])
assert_type(scorer.score_many(["a.jpg"]), Scores)
assert_type(clicv2_keras.ComplexityMetric(value_range=(-1, 1)).result(), float)
assert_type(score_corpus(["photos"], Path("scores"), price=0.04).rate, float)
assert_type(score_corpus(["photos"], "scores"), Summary)

# mypy warns of an `ignore` that nothing needs: these are mistakes that it finds.
clicv2_keras.train("quickstart", resume="yes")  # type: ignore[arg-type]
clicv2_keras.train("quickstart", steps=3)  # type: ignore[call-arg]
clicv2_keras.prepare("photos")  # type: ignore[call-arg]
clicv2_keras.benchmark(seconds="long")  # type: ignore[arg-type]
clicv2_keras.demo(port="http")  # type: ignore[arg-type]
clicv2_keras.score("photos", tile="large")  # type: ignore[arg-type]
score_corpus("scores")  # type: ignore[call-arg]
score_dataset(None)  # type: ignore[arg-type]
scorer.score(3)  # type: ignore[call-overload]
clicv2_keras.ViTEncoder(image_size="large")  # type: ignore[arg-type]
clicv2_keras.trian("quickstart")  # type: ignore[attr-defined]
