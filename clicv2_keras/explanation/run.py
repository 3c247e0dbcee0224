"""From images to what the model sees in them."""

import os
from pathlib import Path

from clicv2_keras.data.file_source import FileSource
from clicv2_keras.data.pipeline import load_images
from clicv2_keras.explanation.explanation import Explanation
from clicv2_keras.explanation.methods import METHODS
from clicv2_keras.explanation.output_folder import OutputFolder
from clicv2_keras.utils.backend import choose_backend
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.images import UnreadableImage, open_rgb


def explain(images, model="default", saliency=(), output="explanations", report=None):
    """Show where an image's complexity is, and what the model looked at.

    Each image is read upright as EXIF says and handed whole to the model, at the model's size, aspect not kept; what
    comes back covers the image's own extent again. An image that cannot be read gets an answer too, with an `error`.

    The map says what each patch adds to the score, exactly. Saliency says where a small change would move the score,
    which is another thing: with the label-free score that is the plain parts (`benchmarks/explain_occlusion.py`).

    Args:
        images: a path or several. A folder stands for all images below it, `output` left out.
        model: see `clicv2_keras.models.find_model`; one without a head of its own is scored label-free.
        saliency: any of `"smoothgrad"` (arXiv 1706.03825, on the pixels), `"gradcam++"` (arXiv 1710.11063) and
            `"layercam"` (DOI 10.1109/TIP.2021.3089943, both on the encoder's last tokens), of the score. They need
            Keras on TensorFlow; the map does not.
        output: folder for a figure (PNG) and the arrays (NPZ) of each image, see `OutputFolder`; None writes nothing.
        report: called with each `Explanation` as soon as it is there.

    Returns:
        list of `Explanation`, one an image, in order.

    Raises:
        UserError: one line on what is wrong with `images`, `model`, `saliency`, `output` or the backend.
    """
    folder = OutputFolder(output) if output is not None else None
    source = _source(images, folder)
    scorer, salient = _load(model, [saliency] if isinstance(saliency, str) else list(saliency))
    explanations = []
    for index in range(len(source)):
        explanation = _explain(source, index, scorer, salient)
        if folder and not explanation.error:
            try:
                folder.write(explanation)
            except UnreadableImage as error:  # gone since it was scored
                explanation = Explanation(explanation.file, explanation.path, error=str(error))
        if report:
            report(explanation)
        explanations.append(explanation)
    return explanations


def _source(images, folder):
    named = [images] if isinstance(images, str | os.PathLike) else list(images)
    if not named:
        raise UserError("explain: no image is given; name image files or folders of them")
    paths = []
    for name in named:
        if not Path(name).expanduser().is_dir():
            paths.append(Path(name).expanduser())
            continue
        found = FileSource.from_folder(name).paths
        paths += [path for path in found if not (folder and folder.lies_between(name, path))]
    if not paths:
        raise UserError(f"{named[0]}: holds no image but earlier explanations; name a folder of images")
    return FileSource(paths)


def _load(model, saliency):
    """The scorer, and what computes saliency, or None."""
    for name in saliency:
        if name not in METHODS:
            raise UserError(f"saliency: {name} is not one; allowed are {', '.join(METHODS)}")
    backend = choose_backend()
    if saliency and backend != "tensorflow":
        raise UserError(
            f"saliency: {saliency[0]} needs Keras on TensorFlow, not on {backend}; set KERAS_BACKEND=tensorflow, which "
            "reads models of every backend, or leave saliency out"
        )
    from clicv2_keras.models.find_model import find_model, scorer_of

    scorer = scorer_of(find_model(model))
    if not saliency:
        return scorer, None
    from clicv2_keras.explanation.saliency_tensorflow import SaliencyTensorFlow

    return scorer, SaliencyTensorFlow(scorer, saliency)


def _explain(source, index, scorer, salient):
    path, name = source.paths[index], source.name(index)
    try:
        pixels = load_images(source, [index], scorer.encoder.image_size)
        size = open_rgb(path).size
    except UnreadableImage as error:
        return Explanation(name, path, error=str(error).removeprefix(f"{name}: "))
    out = scorer.predict_on_batch(pixels)
    return Explanation(
        name,
        path,
        score=float(out["score"][0]),
        size=size,
        map=out["map"][0],
        saliency=salient(pixels[0]) if salient else {},
    )
