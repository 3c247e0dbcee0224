"""Where images come from, by the name that a recipe gives it."""

from clicv2_keras.data.file_source import FileSource
from clicv2_keras.data.procedural_source import ProceduralSource
from clicv2_keras.data.records.source import RecordSource


def open_source(kind, path=None, num_images=None, image_size=None, seed=0):
    """Open the images of a kind.

    Args:
        kind: `"folder"`, `"list"` or `"records"`, which lie at `path`, or `"procedural"`: `num_images` for `image_size`
            and `seed`.

    Returns:
        A source: `len(source)`, `source.name(i)`, and `source.load(i, at_least=None)`, a `PIL.Image` of mode RGB, which
        raises `clicv2_keras.utils.images.UnreadableImage`.

    Raises:
        UserError: where nothing usable is there.
        ValueError: where `kind` is none of these.
    """
    if kind == "folder":
        return FileSource.from_folder(path)
    if kind == "list":
        return FileSource.from_list(path)
    if kind == "records":
        return RecordSource(path)
    if kind == "procedural":
        return ProceduralSource(num_images, image_size, seed)
    raise ValueError(f"kind must be folder, list, records or procedural, got {kind!r}.")
