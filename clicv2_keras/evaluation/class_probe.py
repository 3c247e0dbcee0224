"""The paper's measure of content: how often a linear probe on frozen features names the class of an image."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from clicv2_keras.data.class_folders import open_class_folders
from clicv2_keras.data.reading import unreadable_note
from clicv2_keras.evaluation.output_folder import TOP1, check_output
from clicv2_keras.utils.atomic_files import write_text
from clicv2_keras.utils.backend import choose_backend
from clicv2_keras.utils.device_scope import device_scope
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.paths import StrPath, user_path
from clicv2_keras.utils.seeds import check_seed

if TYPE_CHECKING:
    import keras


class Top1(NamedTuple):
    """Shares of `val`, 0 to 1: named right by the model's features, by the untrained encoder's, which is a mean of
    several, and by the commonest class; and lines for the user."""

    model: float
    untrained: float
    chance: float
    notes: list

    def save(self, folder):
        """Write `top1.csv` to a folder: a row each for the model, the untrained encoder and chance.

        Raises:
            UserError: where a file of that name is there and none of an evaluation's; see `check_output`.
        """
        check_output(folder, TOP1)
        folder = user_path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        rows = [f"{name},{getattr(self, name):.6g}\n" for name in ("model", "untrained", "chance")]
        write_text(folder / "top1.csv", "features,top1\n" + "".join(rows))


def top1(
    model: "StrPath | keras.Model" = "default",
    root: StrPath | None = None,
    per_class: int | None = None,
    seed: int = 0,
    untrained_seeds: int = 5,
    batch_size: int = 64,
    device: str | None = None,
    progress: bool = True,
) -> Top1:
    """Linear probe on the mean token, fitted on `train` and judged on `val` of a folder in ImageNet's layout.

    Args:
        model: see `find_model`.
        root, per_class: see `open_class_folders`.
        seed: of the images drawn, and the first of the untrained encoders'.
        untrained_seeds: how many random initialisations of the encoder stand beside it.
        batch_size, device: see `evaluate`.
        progress: show a bar.

    Returns:
        `Top1`.

    Raises:
        UserError: one line on what is wrong with the model or the folder.
    """
    check_seed(seed)
    choose_backend()
    from rich.progress import Progress

    from clicv2_keras.evaluation.content import linear_probe
    from clicv2_keras.evaluation.features import FeatureExtractor
    from clicv2_keras.models.find_model import find_model

    data = open_class_folders(root, per_class, seed)
    with device_scope(device), Progress(transient=True, disable=not progress) as bar:
        seeds = range(seed, seed + untrained_seeds)
        extractor = FeatureExtractor(find_model(model), seeds, batch_size=batch_size)
        task = bar.add_task(f"looking at {len(data)} images", total=len(data))
        features = extractor.extract(data.source, tick=lambda: bar.advance(task))
    classes, splits = data.classes[features.index], data.splits[features.index]
    train, val = splits == "train", splits == "val"
    if (left := len(set(classes[train]))) < 2 or not val.any():
        raise UserError(
            f"{root}: {left} classes of train and {val.sum()} images of val can be read; top-1 needs 2 and 1"
        )

    def accuracy(read):
        token = read.parts["token"]
        return float(linear_probe().fit(token[train], classes[train]).score(token[val], classes[val]))

    names, counts = np.unique(classes[val], return_counts=True)
    notes = [f"fitted on {train.sum()} images of train, judged on {val.sum()} of val; {len(names)} classes"]
    if features.unreadable:
        notes.append(unreadable_note(features.unreadable, len(data)))
    untrained = [accuracy(read) for read in features.untrained]
    if untrained_seeds > 1:
        spread = f"{np.std(untrained, ddof=1):.3f}"
        notes.append(f"untrained: the mean of {untrained_seeds} random initialisations, their deviation {spread}")
    return Top1(accuracy(features.model), float(np.mean(untrained)), counts.max() / counts.sum(), notes)
