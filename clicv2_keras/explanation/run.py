"""From images to what the model sees in them."""

import contextlib
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from clicv2_keras.deployment.scoring.network import Network
from clicv2_keras.deployment.scoring.scorer import read_picture
from clicv2_keras.explanation import METHODS
from clicv2_keras.explanation.explanation import Explanation
from clicv2_keras.explanation.output_folder import OutputFolder
from clicv2_keras.utils.backend import choose_backend
from clicv2_keras.utils.device_scope import device_scope, refuse_device
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.fetch import is_url
from clicv2_keras.utils.find_images import find_images, named_folders
from clicv2_keras.utils.images import UnreadableImage
from clicv2_keras.utils.paths import StrPath, user_path
from clicv2_keras.utils.tflite_file import is_tflite
from clicv2_keras.utils.threads import share_cores

if TYPE_CHECKING:
    import keras


def explain(
    images: StrPath | Iterable[StrPath],
    model: "StrPath | keras.Model" = "default",
    saliency: str | Iterable[str] = (),
    output: StrPath | None = "explanations",
    report: Callable[[Explanation], object] | None = None,
    device: str | None = None,
) -> list[Explanation]:
    """Show where an image's complexity is, and what the model looked at.

    Each image is read upright as EXIF says and handed whole to the model, at the model's size, aspect not kept; what
    comes back covers the image's own extent again. An image that cannot be read gets an answer too, with an `error`.

    The map says what each patch adds to the score, exactly. Saliency says where a small change would move the score,
    which is another thing: with the label-free score that is the plain parts (`benchmarks/explain_occlusion.py`).

    Args:
        images: a path or several, as for `score`: a folder stands for all images below it, `output` left out.
        model: see `clicv2_keras.models.find_model`; one without a head of its own is scored label-free. Or a `.tflite`
            file of `clicv2-keras export`, which needs neither Keras nor TensorFlow.
        saliency: any of `"smoothgrad"` (arXiv 1706.03825, on the pixels), `"gradcam++"` (arXiv 1710.11063) and
            `"layercam"` (DOI 10.1109/TIP.2021.3089943, both on the encoder's last tokens), of the score. They need
            Keras on TensorFlow; the map does not.
        output: folder for a figure (PNG) and the arrays (NPZ) of each image, see `OutputFolder`; None writes nothing.
        report: called with each `Explanation` as soon as it is there.
        device: `"cpu"`, `"gpu:0"`, …, where Keras computes; by default the first GPU, or the CPU where there is none. A
            `.tflite` file is computed on the CPU.

    Returns:
        list of `Explanation`, one an image, in order.

    Raises:
        UserError: one line on what is wrong with `images`, `model`, `saliency`, `output`, `device` or the backend.
    """
    folder = OutputFolder(output) if output is not None else None
    for named in named_folders(images):
        if folder and os.path.realpath(named) == os.path.realpath(folder.path):
            raise UserError(
                f"--output {output}: its figures would lie among the images of {named}, and be explained the next "
                "time; name another folder"
            )
    files = list(find_images(images, folder and folder.path))
    explanations = []
    with contextlib.ExitStack() as stack:
        methods = [saliency] if isinstance(saliency, str) else list(saliency)
        loaded = _load(model, methods, device, stack)
        for found in files:
            explanation = _explain(found, *loaded)
            if folder and not explanation.error:
                try:
                    folder.write(explanation)
                except UnreadableImage as error:  # gone since it was scored
                    explanation = Explanation(explanation.file, explanation.path, error=str(error))
            if report:
                report(explanation)
            explanations.append(explanation)
    return explanations


def _load(model, saliency, device, stack):
    """The side S of the model's input; what maps pixels uint8 (S, S, 3) to a dict of `score` (1,) and `map` (1, h, w);
    and what maps them to saliency, or None. The device's context is entered on `stack`."""
    for name in saliency:
        if name not in METHODS:
            raise UserError(f"saliency: {name} is not one; allowed are {', '.join(METHODS)}")
    if is_tflite(model):
        if saliency:
            raise UserError(
                f"saliency: {saliency[0]} needs gradients, and {model} has none; give the .keras file that it was "
                "exported from, or leave saliency out"
            )
        refuse_device(device, model)
        network = Network(model, share_cores(workers=1)[1])
        return network.image_size, network, None
    backend = choose_backend()
    if saliency and backend != "tensorflow":
        raise UserError(
            f"saliency: {saliency[0]} needs Keras on TensorFlow, not on {backend}; set KERAS_BACKEND=tensorflow, which "
            "reads models of every backend, or leave saliency out"
        )
    stack.enter_context(device_scope(device))
    from clicv2_keras.models.find_model import find_model, scorer_of

    scorer, salient = scorer_of(find_model(model)), None
    if saliency:
        from clicv2_keras.explanation.saliency_tensorflow import SaliencyTensorFlow

        salient = SaliencyTensorFlow(scorer, saliency)
    return scorer.encoder.image_size, lambda pixels: scorer.predict_on_batch(pixels[None]), salient


def _explain(found, size, predict, salient):
    """The `Explanation` of a `Found`."""
    path = user_path(found.file)
    if found.error:
        return Explanation(found.file, path, error=found.error)
    if is_url(found.file):
        return Explanation(found.file, path, error="URLs are read by clicv2-keras score alone; fetch it first")
    try:
        picture = read_picture(path, size)
    except (UnreadableImage, ValueError) as error:
        return Explanation(found.file, path, error=str(error))
    out = predict(picture.pixels)
    return Explanation(
        found.file,
        path,
        score=float(out["score"][0]),
        size=(picture.width, picture.height),
        map=out["map"][0],
        saliency=salient(picture.pixels) if salient else {},
    )
