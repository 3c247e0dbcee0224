import os
from pathlib import Path

from clicv2_keras.data.labelled.labels import Label, match_labels
from clicv2_keras.data.labelled.savoias_scores import read_savoias_scores
from clicv2_keras.data.labelled.score_table import read_score_table
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.paths import user_path

SCORE_RANGE = 0, 100

# What the repository has called each category over the years, in its folders and in its ground truth.
CATEGORIES = {
    "advertisement": ("advertisement", "ad"),
    "art": ("art",),
    "interior_design": ("interiordesign", "ikea"),
    "objects": ("objects", "mscoco"),
    "scenes": ("scenes", "places"),
    "suprematism": ("suprematism", "sup"),
    "visualizations": ("visualizations", "vis"),
}


def open_savoias(root):
    """Savoias, as its repository lays it out (github.com/esaraee/Savoias-Dataset) or as a table.

    In the repository, images lie in a folder a category (`Images/Art/0.jpg`, formerly `Art/0.jpg`), and
    `global_ranking_*.npy` or `.xlsx` in `Ground truth/` (formerly `Art/global_ranking/`) hold the scores. A `.npy` maps
    a number to a file's name and score; its names all end in `.png`, whatever the file ends in. The column `gt` of an
    `.xlsx` holds the scores of images 0, 1, …

    Args:
        root: the repository's folder, or the one above it; or a CSV file as `open_score_table` reads it; or a folder
            with a `savoias.csv`.

    Returns:
        `ScoredImages`, ranked within category.

    Raises:
        UserError: where something of it is missing or cannot be read.
    """
    root = user_path(root)
    table = root if root.is_file() else root / "savoias.csv"
    if table.is_file():
        return match_labels("savoias", read_score_table(table), SCORE_RANGE, table, table.parent, True)
    folders, rankings = _look_around(root)
    both = [category for category in CATEGORIES if category in folders and category in rankings]
    if not both:
        raise UserError(
            f"{root}: this is not Savoias; name a copy of its repository: folders such as Images/Art/, and files such "
            "as Ground truth/npy/global_ranking_art.npy"
        )
    labels = [
        Label(f"{folders[category].name}/{stem}", folders[category] / stem, score, category)
        for category in both
        for stem, score in read_savoias_scores(rankings[category])
    ]
    notes = [
        *(f"{category}: images without ground truth (left out)" for category in folders if category not in both),
        *(f"{category}: ground truth without images (left out)" for category in rankings if category not in both),
    ]
    return match_labels("savoias", labels, SCORE_RANGE, root, root, True, notes)


def _look_around(root):
    """By category: the folder of its images, and the file of its scores."""
    folders, rankings = {}, {}
    for place, below, files in os.walk(root, followlinks=True):
        place = Path(place)
        depth = len(place.relative_to(root).parts)
        # The repository also keeps scores that it has since replaced.
        below[:] = sorted(b for b in below if depth < 3 and not b.startswith((".", "global_ranking_old")))
        numbered = sum(Path(file).stem.isdecimal() for file in files)
        if numbered:
            folders.setdefault(_category(place.name), []).append((-numbered, place))
        for file in files:
            stem, ending = os.path.splitext(file.lower())
            if stem.startswith("global_ranking_") and ending in (".npy", ".xlsx"):
                former = place.name == "global_ranking"
                ranking = former, ending, place / file
                rankings.setdefault(_category(stem.removeprefix("global_ranking_")), []).append(ranking)
    return ({c: min(found)[-1] for c, found in kind.items() if c} for kind in (folders, rankings))


def _category(name):
    letters = "".join(filter(str.isalpha, name.lower()))
    return next((category for category, names in CATEGORIES.items() if letters in names), None)
