"""What a number means: where it lies among the scores of a known set of photographs."""

import bisect
import json

from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.package_data import trained_presets

FILE = "reference_scores.json"


class Percentiles:
    """Says how many of a reference set of photographs are less complex than an image, by the scores of one model.

    ```python
    scorer = Scorer()
    Percentiles(scorer.metadata)(scorer.score("photo.jpg").score)     # 83.1: busier than 83 % of them
    ```

    The scores lie beside the trained models in `reference_scores.json`, which `scripts/reference_scores.py` writes.
    They hold for the very file of weights that gave them.

    Args:
        metadata: of the model's file, see `Scorer`.

    Attributes:
        photographs: which ones, in words.
        scores: theirs, ascending, floats.

    Raises:
        UserError: where no such scores of this model are stored.
    """

    def __init__(self, metadata):
        for folder in trained_presets().values():
            if not (folder / FILE).is_file():
                continue
            stored = json.loads((folder / FILE).read_text(encoding="utf-8"))
            if metadata["sha256"] in stored["scores"]:
                self.photographs = stored["photographs"]
                self.scores = stored["scores"][metadata["sha256"]]
                return
        raise UserError(
            f"--percentile: no scores of reference photographs are stored for the model {metadata['name']} "
            f"{metadata['sha256'][:12]}; take a model that comes with the package, or leave it out"
        )

    def __call__(self, score):
        """How many of the photographs score less, in percent to a tenth; of those that score the same, half."""
        below, above = bisect.bisect_left(self.scores, score), bisect.bisect_right(self.scores, score)
        return round(50 * (below + above) / len(self.scores), 1)
