import numpy as np
from keras import ops

from clicv2_keras.layers import EntropyMasking, ShiftedPatchify, patchify
from clicv2_keras.layers.patchify import unpatchify
from clicv2_keras.training.batches import build_dataset
from clicv2_keras.utils.overlays import colorize
from clicv2_keras.utils.seeds import seed_for

IMAGES = 4
GRAY, WHITE, GAP = 128, 255, 4


class Pictures:
    """What the model is shown, and what it makes of it: a picture with a line an image.

    From left to right: the image, both views as they are shifted, the image with its hidden patches in gray, the true
    entropy of its patches, and what the model predicts for the hidden ones (dark blue is 0, yellow is 1, the others
    are white). What a recipe switches off is left out.

    It is always the first images of the run, shifted and masked the same way, so that what changes is the model. All
    draws are of its own: a run with pictures ends as one without.

    Args:
        recipe: the `Recipe`.
        model: the `CLICv2`.
        source: the images of the run.
        skipped: the `SkippedImages` of the run.
    """

    def __init__(self, recipe, model, source, skipped):
        self.model = model
        self.size = model.encoder.patch_size
        self.grid = model.encoder.grid
        batch = next(iter(build_dataset(recipe, source, 0, skipped, batch_size=IMAGES).take(1)))
        views = {name: ops.convert_to_tensor(pixels.numpy()) for name, pixels in batch.items()}
        image = ops.convert_to_numpy(views["image"])
        self.columns = [image]
        seed = seed_for(recipe.seed, "Pictures")
        if model.contrast is not None:
            shift = ShiftedPatchify.from_config({**model.contrast.shift.get_config(), "seed": seed})
            for name in ("view_a", "view_b"):
                shifted = shift(views[name], training=True)
                self.columns.append(ops.convert_to_numpy(unpatchify(shifted, self.size, self.grid)))
        if model.entropy is not None:
            masking = EntropyMasking.from_config({**model.entropy.masking.get_config(), "seed": seed})
            self.masks = masking(views["image"])
            self.patches = patchify(views["image"], self.size)
            self.masked = ops.convert_to_numpy(self.masks["masked"])
            hidden = np.zeros((IMAGES, self.grid[0] * self.grid[1]), bool)
            np.put_along_axis(hidden, self.masked, True, axis=1)
            self.columns.append(np.where(self._enlarged(hidden)[..., None], np.uint8(GRAY), image))
            entropy = ops.convert_to_numpy(self.masks["entropy"])
            # Of several statistics the first.
            self.columns.append(colorize(self._enlarged(entropy.reshape(*entropy.shape[:2], -1)[..., 0])))

    def draw(self):
        """The picture now: uint8 (H, W, 3)."""
        columns = list(self.columns)
        if self.model.entropy is not None and self.model.entropy.predicts_patches:
            columns.append(self._predicted())
        height, width = columns[0].shape[1:3]
        picture = np.full((IMAGES * (height + GAP) - GAP, len(columns) * (width + GAP) - GAP, 3), WHITE, "uint8")
        for j, column in enumerate(columns):
            for i, panel in enumerate(column):
                top, left = i * (height + GAP), j * (width + GAP)
                picture[top : top + height, left : left + width] = panel
        return picture

    def _predicted(self):
        encoder, branch = self.model.encoder, self.model.entropy
        visible = encoder.encode(self.patches, keep=self.masks["keep"])
        predicted = branch.predict(visible, self.masks["keep"], self.masks["masked"])
        colors = np.full((IMAGES, self.grid[0] * self.grid[1], 3), WHITE, "uint8")
        np.put_along_axis(colors, self.masked[..., None], colorize(ops.convert_to_numpy(predicted)), axis=1)
        return self._enlarged(colors)

    def _enlarged(self, values):
        """A value a patch, (n, N, …), as a value a pixel, (n, S, S, …)."""
        values = values.reshape(IMAGES, *self.grid, *values.shape[2:])
        return values.repeat(self.size, axis=1).repeat(self.size, axis=2)
