"""How complex is an image? CLICv2 (arXiv 2503.06641) on Keras 3.

What the commands do and the models stand here, each loaded when it is first used: importing the package takes
milliseconds and brings neither Keras nor TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING

from clicv2_keras.utils.version import __version__

if TYPE_CHECKING:
    from clicv2_keras.ablation.ablation import Ablation as Ablation
    from clicv2_keras.ablation.plan import describe_ablation as describe_ablation
    from clicv2_keras.ablation.run import ablate as ablate
    from clicv2_keras.data.records.writer import Prepared as Prepared
    from clicv2_keras.deployment.demo.server import DemoServer as DemoServer
    from clicv2_keras.deployment.demo.server import demo as demo
    from clicv2_keras.deployment.exporting.run import export as export
    from clicv2_keras.deployment.scoring.measurement import benchmark as benchmark
    from clicv2_keras.deployment.scoring.metric import ComplexityMetric as ComplexityMetric
    from clicv2_keras.deployment.scoring.rows import Counts as Counts
    from clicv2_keras.deployment.scoring.rows import Row as Row
    from clicv2_keras.deployment.scoring.run import score as score
    from clicv2_keras.deployment.scoring.run import score_to_file as score_to_file
    from clicv2_keras.deployment.scoring.scorer import Score as Score
    from clicv2_keras.deployment.scoring.scorer import Scorer as Scorer
    from clicv2_keras.evaluation.class_probe import top1 as top1
    from clicv2_keras.evaluation.evaluation import Evaluation as Evaluation
    from clicv2_keras.evaluation.run import evaluate as evaluate
    from clicv2_keras.explanation.explanation import Explanation as Explanation
    from clicv2_keras.explanation.run import explain as explain
    from clicv2_keras.models.clicv2 import CLICv2 as CLICv2
    from clicv2_keras.models.complexity_scorer import ComplexityScorer as ComplexityScorer
    from clicv2_keras.models.contrastive_branch import ContrastiveBranch as ContrastiveBranch
    from clicv2_keras.models.cosine_momentum import CosineMomentum as CosineMomentum
    from clicv2_keras.models.diversity_head import DiversityHead as DiversityHead
    from clicv2_keras.models.guide_branch import GuideBranch as GuideBranch
    from clicv2_keras.models.label_branch import LabelBranch as LabelBranch
    from clicv2_keras.models.linear_head import LinearHead as LinearHead
    from clicv2_keras.models.masked_entropy_branch import MaskedEntropyBranch as MaskedEntropyBranch
    from clicv2_keras.models.vit_encoder import ViTEncoder as ViTEncoder
    from clicv2_keras.recipe.files import load_recipe as load_recipe
    from clicv2_keras.recipe.schema import Recipe as Recipe
    from clicv2_keras.training.callbacks.complexity_probe import ComplexityProbe as ComplexityProbe
    from clicv2_keras.training.finetune import finetune as finetune
    from clicv2_keras.training.plan import describe_run as describe_run
    from clicv2_keras.training.prepare import prepare as prepare
    from clicv2_keras.training.run import train as train
    from clicv2_keras.utils.model_list import ModelSummary as ModelSummary
    from clicv2_keras.utils.model_list import list_models as list_models
else:
    # Out of the sight of type checkers: to them every name would be there.
    def __getattr__(name):
        if name == "distill":
            raise AttributeError(
                'distill is a recipe now: train("pixels_vit_tiny", ["data.path=FOLDER"]), then finetune'
            )
        if name not in _HOMES:
            raise AttributeError(f"module 'clicv2_keras' has no attribute {name!r}")
        return getattr(importlib.import_module(f"clicv2_keras.{_HOMES[name]}"), name)


# Public name: the module that it comes from.
_HOMES = {
    "Ablation": "ablation.ablation",
    "CLICv2": "models",
    "ComplexityMetric": "deployment.scoring.metric",
    "ComplexityProbe": "training.callbacks.complexity_probe",
    "ComplexityScorer": "models",
    "ContrastiveBranch": "models",
    "CosineMomentum": "models",
    "Counts": "deployment.scoring.rows",
    "DemoServer": "deployment.demo.server",
    "DiversityHead": "models",
    "Evaluation": "evaluation.evaluation",
    "Explanation": "explanation.explanation",
    "GuideBranch": "models",
    "LabelBranch": "models",
    "LinearHead": "models",
    "MaskedEntropyBranch": "models",
    "ModelSummary": "utils.model_list",
    "Prepared": "data.records.writer",
    "Recipe": "recipe.schema",
    "Row": "deployment.scoring.rows",
    "Score": "deployment.scoring.scorer",
    "Scorer": "deployment.scoring.scorer",
    "ViTEncoder": "models",
    "ablate": "ablation.run",
    "benchmark": "deployment.scoring.measurement",
    "demo": "deployment.demo.server",
    "describe_ablation": "ablation.plan",
    "describe_run": "training.plan",
    "evaluate": "evaluation.run",
    "explain": "explanation.run",
    "export": "deployment.exporting.run",
    "finetune": "training.finetune",
    "list_models": "utils.model_list",
    "load_recipe": "recipe.files",
    "prepare": "training.prepare",
    "score": "deployment.scoring.run",
    "score_to_file": "deployment.scoring.run",
    "top1": "evaluation.class_probe",
    "train": "training.run",
}
__all__ = ["__version__", *_HOMES]


def __dir__():
    return sorted(__all__)
