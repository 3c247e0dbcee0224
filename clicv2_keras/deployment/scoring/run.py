"""From paths to rows."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

from clicv2_keras.deployment.scoring.rows import Counts, Row, row_of
from clicv2_keras.deployment.scoring.scorer import Picture, Scorer
from clicv2_keras.deployment.scoring.tiles import read_pictures, tile_name, tiling_of
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.fetch import fetch, is_url
from clicv2_keras.utils.find_images import find_images, named_folders
from clicv2_keras.utils.images import UnreadableImage
from clicv2_keras.utils.paths import StrPath, user_path
from clicv2_keras.utils.threads import ordered_map, share_cores

# Images that are decoded one after the other before the network sees them: its weights then stay in the cache.
GROUP = 4


def score(
    paths: StrPath | Iterable[StrPath],
    model: StrPath = "default",
    maps: StrPath | None = None,
    workers: int | None = None,
    threads: int | None = None,
    allow_private: bool = False,
    tile: int | None = None,
    stride: int | None = None,
) -> Iterator[Row]:
    """Score images, one or millions: rows come in order, some at a time, and none is kept in memory.

    ```python
    for row in clicv2_keras.score("photos"):
        print(row.file, row.score)
    ```

    Args:
        paths: a path or an iterable of them: files, folders (all images below), globs, URLs, or `-` for a list on
            standard input; see `find_images`.
        model: a `.tflite` file of `clicv2-keras export`, or the name of a trained preset.
        maps: folder for an overlay (PNG) of each image, see `MapsFolder`, none of `paths`; none by default. A file of
            an overlay's name that is none is kept, and the row has the error.
        workers: images in work at a time; one a core by default.
        threads: that the network computes with for each image; what the workers leave of the cores by default. LiteRT
            computes on the CPU, an image at a time: there is neither a batch's size nor a device to choose.
        allow_private: also fetch URLs whose address is not of the public internet; see `fetch`.
        tile: score tiles of this many pixels a side and not whole pictures; see `Tiling`.
        stride: of the tiles, in pixels; `tile` by default.

    Returns:
        An iterator of `Row`. An image that cannot be read has one too, with its `error`.

    Raises:
        UserError: one line on what is wrong with `model` or `maps` (at once) or `paths` (while iterating).
    """
    workers, threads = share_cores(workers, threads)
    tiling = _tiling(tile, stride, maps)
    scorer = Scorer(model, threads)
    folder = _maps_folder(maps, paths)
    rows = _rows(scorer, folder, find_images(paths, folder and folder.path), workers, allow_private, tiling)
    return (row for row, _ in rows)


def score_to_file(
    paths: StrPath | Iterable[StrPath],
    output: StrPath,
    model: StrPath = "default",
    maps: StrPath | None = None,
    workers: int | None = None,
    threads: int | None = None,
    resume: bool = False,
    report: Callable[[Row], object] | None = None,
    force: bool = False,
    allow_private: bool = False,
    embeddings: bool = False,
    percentile: bool = False,
    tile: int | None = None,
    stride: int | None = None,
) -> Counts:
    """Score images into a file, as `score` does.

    Args:
        paths, model, maps, workers, threads, allow_private, tile, stride: see `score`.
        output: a file that ends in `.csv`, `.jsonl` or `.parquet`, with the columns of `Row` and `model`, the model's
            name and checksum (of Parquet in the metadata). The first two grow row by row; a Parquet file appears when
            it is whole (until then its rows are in `OUTPUT.partial`). A file that is there is not replaced.
        resume: go on with the file that a stopped run of the same paths left; start where there is none. With `maps`
            the overlays of the rows that are there must be there too.
        report: called with each `Row`, those that the file held among them.
        force: begin anew in place of an earlier output and its embeddings; a file of anything else is never replaced.
        embeddings: also write what the model sees in each image, float32 (D,): of Parquet in the column `embedding`,
            else as `embedding` (rows, D) in a file of the output's name that ends in `.npz`, NaN where there is none.
            That file belongs to the output.
        percentile: also write a column `percentile`, see `Percentiles`.

    Returns:
        `Counts(scored, failed)` of the whole file.

    Raises:
        UserError: one line on what is wrong with the arguments, or where the file can no longer be written.
    """
    from clicv2_keras.deployment.scoring.embeddings_file import EmbeddingsFile
    from clicv2_keras.deployment.scoring.output_file import OutputFile, check_begin
    from clicv2_keras.deployment.scoring.percentiles import Percentiles

    check_begin(resume, force)
    workers, threads = share_cores(workers, threads)
    tiling = _tiling(tile, stride, maps)
    scorer = Scorer(model, threads)
    percentiles = Percentiles(scorer.metadata) if percentile else None
    beside = EmbeddingsFile(user_path(output), scorer.embedding_dim) if embeddings else None
    target = OutputFile(output, scorer.identity, percentiles, beside, tiling)
    folder = _maps_folder(maps, paths)
    counts = Counts()

    def note(row):
        counts.add(row)
        if report:
            report(row)

    files = find_images(paths, folder and folder.path)
    try:
        if resume:
            for row in target.resume(files):
                if folder and row.error is None and not folder.path_of(row.file).exists():
                    raise UserError(
                        f"--maps {maps}: has none of {row.file}, which is scored already and is not scored again; "
                        "leave it out, or begin anew with --force"
                    )
                note(row)
        else:
            target.start(force)
        found = itertools.chain(target.begun, files)
        for row, embedding in _rows(scorer, folder, found, workers, allow_private, tiling):
            target.write(row, embedding)
            note(row)
        target.finish()
    except OSError as error:
        raise UserError(
            f"--output {output}: cannot be written: {error.strerror}; once that is mended, --resume goes on"
        ) from None
    finally:
        target.close()
    return counts


def _tiling(tile, stride, maps):
    tiling = tiling_of(tile, stride)
    if tiling and maps is not None:
        raise UserError(f"--maps {maps}: are drawn of whole pictures; leave it out with --tile")
    return tiling


def _maps_folder(maps, paths):
    if maps is None:
        return None
    from clicv2_keras.deployment.scoring.maps_folder import MapsFolder

    check_maps(maps, paths)
    return MapsFolder(maps)


def check_maps(maps, paths):
    """See that maps would not lie among the images of a folder that is among `paths`.

    Raises:
        UserError: where they would.
    """
    from clicv2_keras.deployment.scoring.maps_folder import place_below

    for folder in named_folders(paths):
        if os.path.realpath(folder) in map(os.path.realpath, (user_path(maps), place_below(user_path(maps), folder))):
            raise UserError(
                f"--maps {maps}: its maps would lie among the images of {folder}, and be scored the next time; name "
                "another folder"
            )


def _rows(scorer, folder, files, workers, allow_private, tiling):
    """Pairs of a `Row` and an embedding, None beside an error."""
    # The first ones singly, so that a few keep all workers busy; with overlays too, for they keep pictures in memory.
    alone = None if folder else workers * GROUP
    singly = ([found] for found in itertools.islice(files, alone))
    groups = iter(lambda: list(itertools.islice(files, GROUP)), [])
    if tiling:
        work = partial(_rows_of_tiles, scorer, tiling, allow_private)
    else:
        work = partial(_rows_of_group, scorer, folder, allow_private)
    return itertools.chain.from_iterable(ordered_map(work, itertools.chain(singly, groups), workers))


class _Item(NamedTuple):
    """A file to be scored: its decoded `picture`, or the `error` that stands in its place."""

    file: str
    picture: Picture | None = None
    error: str | None = None


def _rows_of_group(scorer, folder, allow_private, group):
    items = [_decode(scorer, found, folder is not None, allow_private) for found in group]
    return [_row(scorer, folder, item) for item in items]


def _rows_of_tiles(scorer, tiling, allow_private, group):
    """One after the other: the network's inputs of all tiles together may take many times a picture's memory."""
    rows = []
    for found in group:
        if found.error:
            rows.append((Row(found.file, error=found.error), None))
            continue
        try:
            for box, picture in read_pictures(_source(found, allow_private), scorer.image_size, tiling):
                result = scorer.run(picture)
                rows.append((row_of(tile_name(found.file, box), result), result.embedding))
        except (UnreadableImage, ValueError) as error:
            rows.append((Row(found.file, error=str(error)), None))
    return rows


def _source(found, allow_private):
    """What the decoder takes of a file or a URL."""
    return fetch(found.file, allow_private) if is_url(found.file) else found.file


def _decode(scorer, found, keep_image, allow_private):
    if found.error:
        return _Item(found.file, error=found.error)
    try:
        picture = scorer.read(_source(found, allow_private))
    except (UnreadableImage, ValueError) as error:
        return _Item(found.file, error=str(error))
    return _Item(found.file, picture if keep_image else picture._replace(image=None))


def _row(scorer, folder, item):
    if item.error:
        return Row(item.file, error=item.error), None
    result = scorer.run(item.picture)
    row = row_of(item.file, result)
    if folder:
        try:
            folder.write(item.file, item.picture.image, result)
        except OSError as error:
            row = row._replace(error=f"its map cannot be written: {error.strerror}")
    return row, result.embedding
