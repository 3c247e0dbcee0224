import errno
import os
import threading
from pathlib import Path

from PIL import Image, PngImagePlugin

from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.overlays import map_limits, overlay
from clicv2_keras.utils.paths import check_local, user_path

# Begins the PNG's Description; by it those of earlier runs are known.
SCORE = "complexity "
# A photograph's overlay need not be larger to be looked at.
MAX_SIDE = 1024


class MapsFolder:
    """Writes overlays: of `holiday/cat.jpg` the file `holiday/cat.jpg.png` in this folder, so that none replaces
    another's.

    The picture in grey under its complexity map, from dark blue at the map's smallest value to yellow at its largest
    (at least 0.1 apart); both and the score are in the PNG's `Description`.

    Args:
        path: the folder; made where it is missing.

    Raises:
        UserError: where it cannot be written to, or is a URL.
    """

    def __init__(self, path):
        check_local(path, "--maps")
        self.path = user_path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self._unfinished()
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UserError(f"--maps {self.path}: cannot be written to: {error.strerror}; name a folder") from None

    def path_of(self, file):
        """Where the overlay of `file` goes: below this folder, even where `file` begins with `..` or at the root."""
        below = place_below(self.path, file)
        return below.with_name(f"{below.name}.png")

    def write(self, file, image, score):
        """Write the overlay of a `Score` on its decoded image, in place of that of an earlier run.

        Raises:
            OSError: where that is not possible, it would lie beside its image, or a file of that name is no overlay.
        """
        path, unfinished = self.path_of(file), self._unfinished()
        if os.path.realpath(path.parent) == os.path.realpath(os.path.dirname(file)):
            raise OSError(errno.EEXIST, "it would lie beside the image, and be scored the next time")
        if path.is_file() and not _is_map(path):
            raise FileExistsError(errno.EEXIST, f"{path} is no map of clicv2-keras, and is kept")
        low, high = map_limits(score.map)
        about = PngImagePlugin.PngInfo()
        about.add_text("Description", f"{SCORE}{score.score:.6f}; dark blue {low:.3f}, yellow {high:.3f}")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            overlay(_reduced(image), score.map).save(unfinished, "PNG", pnginfo=about)
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)

    def _unfinished(self):
        return self.path / f".unfinished-{os.getpid()}-{threading.get_ident()}"


def place_below(folder, name):
    """Where what is called `name` has its place in a folder."""
    name = os.fspath(name)
    if "://" in name:  # what climbs in a URL must not take its host away
        name = "/".join("__up__" if part == os.pardir else part for part in name.split("/"))
    path = Path(os.path.normpath(name))
    parts = ["__up__" if part == os.pardir else part for part in path.relative_to(path.anchor).parts]
    if path.anchor:
        parts.insert(0, path.anchor.strip(":\\/") or "__root__")
    return Path(folder, *parts)


def _is_map(path):
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return image.info.get("Description", "").startswith(SCORE)
    except Exception:  # Pillow's decoders raise whatever a foreign file leads them to
        return False


def _reduced(image):
    """At most 1,024 pixels a side."""
    scale = min(1, MAX_SIDE / max(image.size))
    return image.resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.BILINEAR)
