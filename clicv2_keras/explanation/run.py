"""From images to what the model sees in them."""

from clicv2_keras.explanation import METHODS
from clicv2_keras.explanation.explanation import Explanation
from clicv2_keras.explanation.output_folder import OutputFolder
from clicv2_keras.utils.backend import choose_backend
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.find_images import find_images
from clicv2_keras.utils.images import UnreadableImage, decode_image, network_input
from clicv2_keras.utils.paths import user_path


def explain(images, model="default", saliency=(), output="explanations", report=None):
    """Show where an image's complexity is, and what the model looked at.

    Each image is read upright as EXIF says and handed whole to the model, at the model's size, aspect not kept; what
    comes back covers the image's own extent again. An image that cannot be read gets an answer too, with an `error`.

    The map says what each patch adds to the score, exactly. Saliency says where a small change would move the score,
    which is another thing: with the label-free score that is the plain parts (`benchmarks/explain_occlusion.py`).

    Args:
        images: a path or several, as for `score`: a folder stands for all images below it, `output` left out.
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
    files = list(find_images(images, output))
    scorer, salient = _load(model, [saliency] if isinstance(saliency, str) else list(saliency))
    explanations = []
    for found in files:
        explanation = _explain(found, scorer, salient)
        if folder and not explanation.error:
            try:
                folder.write(explanation)
            except UnreadableImage as error:  # gone since it was scored
                explanation = Explanation(explanation.file, explanation.path, error=str(error))
        if report:
            report(explanation)
        explanations.append(explanation)
    return explanations


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


def _explain(found, scorer, salient):
    """The `Explanation` of a `Found`."""
    path, size = user_path(found.file), scorer.encoder.image_size
    if found.error:
        return Explanation(found.file, path, error=found.error)
    try:
        decoded = decode_image(path, at_least=2 * size)
    except (UnreadableImage, ValueError) as error:
        return Explanation(found.file, path, error=str(error))
    pixels = network_input(decoded.image, size)
    out = scorer.predict_on_batch(pixels[None])
    return Explanation(
        found.file,
        path,
        score=float(out["score"][0]),
        size=(decoded.width, decoded.height),
        map=out["map"][0],
        saliency=salient(pixels) if salient else {},
    )
