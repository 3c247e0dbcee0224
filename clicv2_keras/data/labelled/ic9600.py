import re
from pathlib import PurePath

from clicv2_keras.data.labelled.labels import Label, first_names, match_labels, parse_score
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.paths import user_path

SPLITS = ("train", "test")


def open_ic9600(root):
    """IC9600, as its authors give it out (github.com/tinglyfeng/IC9600): `images/`, `train.txt`, `test.txt`.

    A line holds an image's name, which may contain spaces, two spaces and its score in [0, 1]. What comes before the
    first underscore of a name is its category, as in `objects_bird_COCO_train2014_000000255051.jpg`.

    Args:
        root: that folder, or the one above it.

    Returns:
        `ScoredImages` with the splits `train` and `test`.

    Raises:
        UserError: where something of it is missing or cannot be read.
    """
    root = _find(user_path(root))
    labels, again, notes = {}, [], []
    for split in SPLITS:
        file = root / f"{split}.txt"
        if not file.is_file():
            notes.append(f"there is no {split}.txt: that split is not here")
            continue
        for name, score in _read(file):
            if name in labels:
                again.append(name)
            else:
                labels[name] = Label(name, root / "images" / name, score, _category(name), split)
    if not labels:
        raise UserError(f"{root}: train.txt and test.txt hold no label; take the files of the published data set")
    if again:
        notes.append(f"labels given more than once, of which the first counts: {first_names(again)}")
    return match_labels("ic9600", list(labels.values()), (0, 1), root, root / "images", notes=notes)


def _find(root):
    below = sorted(f for f in root.iterdir() if f.is_dir()) if root.is_dir() else []
    for folder in (root, *below):
        if (folder / "images").is_dir() and any((folder / f"{split}.txt").is_file() for split in SPLITS):
            return folder
    raise UserError(
        f"{root}: this is not IC9600; name the folder that holds images/, train.txt and test.txt "
        "(the images, unpacked, come from its authors on application)"
    )


def _read(file):
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{file}: this is no UTF-8 text; take the file of the published data set") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        # From the right: names may hold spaces, even two in a row.
        name, _, text = line.strip().replace("\t", " ").rpartition(" ")
        score = parse_score(text)
        if score is None or not name.strip():
            raise UserError(f"{file}, line {number}: {line.strip()[:80]!r} is not an image's name and its score")
        yield name.strip(), score


def _category(name):
    return re.match(r"[^_\d]*", PurePath(name).stem)[0].strip(" -.").lower()
