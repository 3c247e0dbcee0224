"""What a run learns from, written down so that it is the same when the run is resumed."""

import hashlib
import json

from clicv2_keras.utils.errors import UserError

NAME = "inputs.json"


def run_inputs(source, labels):
    """How many images and labels a run has, and checksums that tell them from others: a dict.

    Args:
        source: the images that are trained on; see `open_source`.
        labels: the `JointSets` or None.
    """
    found = {"images": len(source), "names": _checksum(source.name(index) for index in range(len(source)))}
    if labels is not None:
        images = labels.images
        rows = zip(images.names, images.scores.tolist(), labels.groups.tolist(), strict=True)
        found |= {"labels": len(images), "labels_of": _checksum(map(repr, rows))}
    return found


def check_inputs(folder, now):
    """Compare what a run learns from with what it was begun with, `run_inputs` both.

    Args:
        folder: the `RunFolder`.

    Returns:
        One line where the images are others, else None: the run may go on with them.

    Raises:
        UserError: where the labels are others: the scorer would be judged on images that it was fitted to.
    """
    path = folder.path / NAME
    try:
        then = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        then = None
    if not isinstance(then, dict):
        raise UserError(f"{path}: is broken; move it away, and what the run learns from is not compared")
    if (then.get("labels"), then.get("labels_of")) != (now.get("labels"), now.get("labels_of")):
        raise UserError(
            f"{folder.path}: was started with other labels ({then.get('labels', 0)}, now {now.get('labels', 0)}); "
            "resume with the same, or take another run.dir"
        )
    if then == now:
        return None
    return (
        f"the images are others than when the run began ({then.get('images')}, now {now['images']}): it does not end "
        "as if it had never stopped, and images that are held out may have been trained on"
    )


def _checksum(texts):
    """Of texts in their order; names of files may be no Unicode."""
    found = hashlib.sha256()
    for text in texts:
        found.update(text.encode("utf-8", "surrogateescape") + b"\0")
    return found.hexdigest()
