"""What a run reads, packed beforehand."""

from clicv2_keras.data.records.writer import Prepared, pack_images
from clicv2_keras.utils.backend import choose_backend
from clicv2_keras.utils.errors import UserError, refuse_unused
from clicv2_keras.utils.paths import StrPath


def prepare(
    images: StrPath,
    output: StrPath,
    shard_size: float = 64,
    side: int | None = None,
    teacher: str | None = None,
    views: int = 4,
    image_size: int = 192,
    patch_size: int = 16,
    min_area: float = 0.2,
    progress: bool = True,
) -> Prepared:
    """Pack images into shards that a run reads with `data.source=records data.path=OUTPUT`.

    `output` gets tar files as WebDataset reads them, `index.jsonl` (see `RecordIndex`) and `bad.csv`, which names the
    images that cannot be read and why. The images are shuffled before they are cut into shards. Stopped and called
    again, it keeps the shards that are whole, by their checksums, and packs the rest; it gives the same bytes. What was
    unreadable beside images that are packed is not tried again: a new `output` is for that.

    With a `teacher` a folder `targets` joins them: what a guide is to learn of several views of every image, for
    `guide.teacher=packed`. The teacher is then asked once a view and not in every step. Called again with more `views`
    it adds those that are missing; a run sees a view an epoch, in turn.

    Args:
        images: a folder, read to the bottom, or a text file with one path a line.
        output: a local folder; copied to object storage the images can be read from there.
        shard_size: MB (10⁶ bytes) of images a shard, at most; one image at least.
        side: images whose shorter side is longer become JPEGs of quality 90 of that shorter side; None keeps every
            file's own bytes.
        teacher: `keras_hub:PRESET`, a preset's folder, a `.keras` file, or the folder of a SavedModel whose
            `serving_default` takes pixels in [0, 255] and gives feature maps; None packs images alone.
        views: random crops of every image, half of them mirrored. This and the next three are for a teacher alone.
        image_size: side of the views in pixels, as the recipe's `data.image_size`.
        patch_size: side of a patch, as the encoder's.
        min_area: smallest area of a crop, as the recipe's `data.min_area`.
        progress: show the progress.

    Returns:
        `Prepared`.

    Raises:
        UserError: where there is no image, none can be read, `output` holds something else, another process works
            there, or the teacher gives no maps.
        OSError: where `output` cannot be written.
    """
    if teacher is None:
        given = {"views": views, "image_size": image_size, "patch_size": patch_size, "min_area": min_area}
        refuse_unused(prepare, given, "is of the views that a teacher is shown; name one by --teacher, or leave it out")
        return pack_images(images, output, shard_size, side, progress)
    if image_size % patch_size:
        raise UserError(f"--image-size {image_size}: is not a multiple of --patch-size {patch_size}")
    choose_backend(None)
    from clicv2_keras.models.open_feature_maps import open_teacher
    from clicv2_keras.training.pack_targets import pack_targets

    network = open_teacher(teacher)
    prepared = pack_images(images, output, shard_size, side, progress)
    pack_targets(prepared.path, teacher, network, views, image_size, patch_size, min_area, progress)
    return prepared
