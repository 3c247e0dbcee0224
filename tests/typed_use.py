"""The public surface as a user's type checker sees it: read by mypy, see `.ci/run`, and never run."""

from pathlib import Path
from typing import assert_type

import clicv2_keras
from clicv2_keras.data.records.writer import Prepared
from clicv2_keras.deployment.exporting.parity import Exported
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

# mypy warns of an `ignore` that nothing needs: these are mistakes that it finds.
clicv2_keras.train("quickstart", resume="yes")  # type: ignore[arg-type]
clicv2_keras.train("quickstart", steps=3)  # type: ignore[call-arg]
clicv2_keras.prepare("photos")  # type: ignore[call-arg]
clicv2_keras.benchmark(seconds="long")  # type: ignore[arg-type]
clicv2_keras.demo(port="http")  # type: ignore[arg-type]
clicv2_keras.trian("quickstart")  # type: ignore[attr-defined]
