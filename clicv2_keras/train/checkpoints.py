"""What a run can go on from: the model's weights, its optimizer's state and its random states, at a step."""

import os
import re
from pathlib import Path

_NAME = re.compile(r"step_(\d+)\.weights\.h5")


class Checkpoints:
    """The newest `keep` checkpoints in a folder, each one file, there whole or not at all."""

    def __init__(self, folder, keep):
        self.folder = Path(folder)
        self.keep = keep

    def steps(self):
        """The steps that have a checkpoint, in ascending order."""
        names = [_NAME.fullmatch(path.name) for path in self.folder.glob("*")]
        return sorted(int(name[1]) for name in names if name)

    def path(self, step):
        return self.folder / f"step_{step:08d}.weights.h5"

    def save(self, model, step):
        """Write the checkpoint of `step`, then drop the oldest."""
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / "unfinished.weights.h5"
        model.save_weights(unfinished, overwrite=True)
        os.replace(unfinished, self.path(step))
        for old in self.steps()[: -self.keep]:
            self.path(old).unlink()

    def load(self, model, step):
        """Bring `model`, whose optimizer is built, to the state of `step`."""
        model.load_weights(self.path(step))
