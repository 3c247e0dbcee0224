"""Distillation, from a model and images without labels to a `ComplexityScorer` that tells what is counted in pixels."""

from pathlib import Path

import keras
import numpy as np
from rich.console import Console
from rich.progress import track

from clicv2_keras.data.sources import open_source
from clicv2_keras.models import ComplexityScorer, LinearHead
from clicv2_keras.models.find_model import encoder_of, find_model
from clicv2_keras.training.optimizer import adamw
from clicv2_keras.training.pixel_measures import counted_complexity, pixel_measures
from clicv2_keras.training.student import Student
from clicv2_keras.utils.atomic_files import save_model
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.images import UnreadableImage, network_input
from clicv2_keras.utils.threads import ordered_map, share_cores

BATCH = 16
# Measures are standardised, scores lie in [0, 1].
WEIGHTS = {"score": 10.0, "score_change": 10.0, "measures": 1.0, "measures_change": 1.0}


def distill(
    model="default",
    images=("procedural",),
    output="scorer.keras",
    image_size=None,
    num_images=4000,
    epochs=8,
    learning_rate=5e-4,
    seed=0,
    progress=True,
):
    """Teach a model, without labels, what slow programs count in pixels: segments, colours, edges, bytes.

    The score of the result is the counted complexity (see `counted_complexity`): it tells in one pass of a small
    network, for each patch, what takes those programs a tenth of a second; and its tokens know their measures, which
    makes them a better start for `finetune`. The whole encoder is trained, its patch projection too, on two crops of
    each image that are to agree. All images are held in memory: 130 MB for 1,000 of 192 pixels.

    Args:
        model: see `find_model`; its encoder is the start.
        images: folders, text files that list images, or `"procedural"`; one or a sequence.
        output: the `.keras` file to write; None writes none.
        image_size: side in pixels that the result reads, a multiple of the patch; None is the model's.
        num_images: how many images of each of `images` are used, at most, evenly spread.
        epochs, learning_rate: passes over the images; the rate rises, then falls to 0 by cosine.
        seed: of the order of the images and their crops.
        progress: show what happens.

    Returns:
        The `ComplexityScorer`, with a `LinearHead` that has seen no label.

    Raises:
        UserError: one line on what is wrong with the model, the images or the output.
    """
    console = Console(quiet=not progress, highlight=False, soft_wrap=True)
    if output is not None and Path(output).suffix != ".keras":
        raise UserError(f"{output}: a scorer is saved as a .keras file; name one")
    encoder = encoder_of(find_model(model))
    image_size = image_size or encoder.image_size
    if image_size % encoder.patch_size:
        raise UserError(f"image size {image_size}: not a multiple of the patch, {encoder.patch_size} pixels")
    encoder = encoder.copy(image_size=image_size, freeze_patch_projection=False)
    images = [images] if isinstance(images, str | Path) else images
    sources = [_source(name, num_images, image_size) for name in images]
    # A patch larger than what is read: crops of it are not blown up.
    pixels, scores, measures = _measure(sources, num_images, image_size + encoder.patch_size, console)

    keras.utils.set_random_seed(seed)
    # Without the tokens' diversity: it takes as long as the encoder, and the counts are to be in the tokens.
    scorer = ComplexityScorer(encoder, LinearHead(("token", "deviation")))
    student = Student(scorer, measures.shape[1], seed)
    steps = epochs * -(-len(pixels) // BATCH)
    optimizer = adamw(student.trainable_variables, learning_rate, steps, warmup=steps // 20, weight_decay=0.05)
    student.compile(optimizer, loss=dict.fromkeys(WEIGHTS, "mse"), loss_weights=WEIGHTS)
    targets = {
        "score": scores[:, None],
        "measures": measures[:, None],
        "score_change": np.zeros_like(scores),
        "measures_change": np.zeros_like(measures),
    }

    def tell(epoch, logs):
        errors = f"score ±{logs['score_loss'] ** 0.5:.3f}, measures ±{logs['measures_loss'] ** 0.5:.2f} deviations"
        errors += f", from crop to crop ±{logs['score_change_loss'] ** 0.5:.3f}"
        console.print(f"epoch {epoch + 1}/{epochs}  {errors}", markup=False)

    callback = keras.callbacks.LambdaCallback(on_epoch_end=tell)
    student.fit(pixels, targets, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=[callback])
    if output is not None:
        save_model(scorer, output)
        console.print(f"{output}: a label-free ComplexityScorer; next: clicv2-keras finetune {output} …", markup=False)
    return scorer


def _source(images, num_images, image_size):
    if str(images) == "procedural":
        return open_source("procedural", num_images=num_images, image_size=image_size)
    return open_source("folder" if Path(images).expanduser().is_dir() else "list", path=images)


def _measure(sources, count, side, console):
    """Pixels, uint8 (n, S, S, 3), and of each image its counted complexity (n,) and standardised measures (n, M)."""

    def read(place):
        source, index = place
        try:
            image = source.load(index, at_least=2 * max(side, 256))
            return network_input(image, side), pixel_measures(image)
        except UnreadableImage as error:
            return f"{source.name(index)}: {error}"

    chosen = [
        (source, index)
        for source in sources
        for index in np.linspace(0, len(source) - 1, min(count, len(source))).astype(int).tolist()
    ]
    found = ordered_map(read, chosen, share_cores()[0])
    readable = []
    for row in track(found, "counting", len(chosen), console=console, transient=True, disable=console.quiet):
        if isinstance(row, str):
            console.print(f"unreadable, left out: {row}", markup=False)
        else:
            readable.append(row)
    if len(readable) < 10:
        raise UserError(f"{len(readable)} readable images are too few to learn from; give at least 10")
    pixels, measures = zip(*readable, strict=True)
    table = np.array([list(row.values()) for row in measures])
    table = (table - table.mean(axis=0)) / np.maximum(table.std(axis=0), 1e-6)
    scores = np.array([counted_complexity(row) for row in measures], "float32")
    return np.stack(pixels), scores, table.clip(-4, 4)
