import random
from typing import TYPE_CHECKING, Self

import keras
from keras import ops

from clicv2_keras.layers.copy_weights import copy_weights
from clicv2_keras.layers.patchify import grid_shape, patchify, unpatchify
from clicv2_keras.layers.pixels import as_pixels, check_shape
from clicv2_keras.layers.positions import sincos_positions
from clicv2_keras.layers.transformer_block import TransformerBlock
from clicv2_keras.models.fitted_to import FittedTo
from clicv2_keras.models.kept_weights_jax import KeptWeights
from clicv2_keras.models.presets import preset_config
from clicv2_keras.recipe.shapes import ENCODERS
from clicv2_keras.utils.hub import is_hub_address
from clicv2_keras.utils.package_data import trained_presets

if TYPE_CHECKING:
    from clicv2_keras.layers.feature_stem import FeatureStem


@keras.saving.register_keras_serializable(package="clicv2_keras")
class ViTEncoder(KeptWeights, FittedTo, keras.Model):
    """Vision transformer (arXiv 2010.11929) as MoCo v3 trains it: fixed sine-cosine positions, no class token.

    Args:
        image_size: side of the training images in pixels. Images of another size, if the patch divides it, are read
            as a finer or coarser grid over the same extent.
        patch_size: side of a patch in pixels; must divide `image_size`.
        width: features of a token, a multiple of 4.
        depth: number of transformer blocks.
        num_heads: attention heads; must divide `width`.
        mlp_ratio: width of the hidden layer of a block's MLP as a multiple of `width`.
        freeze_patch_projection: keep the patch projection at its random initial values, MoCo v3's stabiliser.
        detail_gain: what a pixel differs from its patch's mean colour by is multiplied by this before the projection;
            1 is the plain ViT. Most of an image's power lies in those means, so that a random projection, above all a
            frozen one, passes on colour and drowns the detail that complexity is made of.
        stem: a `FeatureStem`: what a pretrained convolutional network sees at each patch goes into the projection, in
            place of the patch's pixels (the hybrid of arXiv 2010.11929). The projection is then trained, whatever
            `freeze_patch_projection` says, and `detail_gain` has no part. None for the plain ViT.
        stem_skip: give the stem's features beside each token, so that the blocks need not carry what is in them.
        value_range: what floats are for black and for white, such as (0, 1) or (-1, 1); None takes no floats. It is
            never guessed from the values, of which none is clipped. uint8 is [0, 255] whatever this says.

    Attributes:
        recompute: compute the blocks' activations again in the backward pass: less memory, more time. False at first.

    Call arguments:
        images: uint8 (B, H, W, 3) in [0, 255], or with a `value_range` floats, through which gradients flow. Other
            integers are an error. (A functional model casts its inputs: say `keras.Input(…, dtype="uint8")` there.)

    Returns:
        Tokens, float (B, N, output_dim), after the final norm; N = (H / patch_size) (W / patch_size), row by row.
        `output_dim` is the width, and with `stem_skip` that of the stem besides.

    Raises:
        ValueError: where `patch_size` does not divide the image, or `num_heads` the width; or the images have another
            shape or type.
    """

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 16,
        width: int = 192,
        depth: int = 12,
        num_heads: int = 3,
        mlp_ratio: float = 4,
        freeze_patch_projection: bool = True,
        detail_gain: float = 4.0,
        stem: "FeatureStem | None" = None,
        stem_skip: bool = True,
        value_range: tuple[float, float] | None = None,
        **kwargs,
    ) -> None:
        # Keras would cast floats to bfloat16's 8 bits before they are pixels.
        super().__init__(autocast=False, **kwargs)
        if isinstance(stem, dict):
            stem = keras.saving.deserialize_keras_object(stem)
        if image_size % patch_size:
            raise ValueError(f"patch_size={patch_size} does not divide image_size={image_size}.")
        if value_range is not None and not (len(value_range) == 2 and value_range[0] < value_range[1]):
            raise ValueError(f"value_range must be two numbers, the lower first, got {value_range!r}.")
        self.image_size = image_size
        self.patch_size = patch_size
        self.width = width
        self.depth = depth
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio
        self.freeze_patch_projection = freeze_patch_projection
        self.detail_gain = detail_gain
        self.stem = stem
        self.stem_skip = stem_skip
        self.output_dim = width + (stem.width if stem is not None and stem_skip else 0)
        self.value_range = None if value_range is None else tuple(value_range)
        self.grid = (image_size // patch_size,) * 2
        # Not in the config: it belongs to a run, and an exported encoder should not carry it.
        self.recompute = False

        policy = {"dtype": self.dtype_policy}
        frozen = freeze_patch_projection and stem is None
        self.patch_projection = keras.layers.Dense(width, trainable=not frozen, **policy)
        self.blocks = [TransformerBlock(num_heads, mlp_ratio, **policy) for _ in range(depth)]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6, **policy)
        self.build()

    @classmethod
    def from_preset(cls, name: str = "default", **overrides) -> Self:
        """The encoder of a trained model, or one of a standard size with random weights.

        Args:
            name: a trained model that comes with the package, `hf://owner/name[@revision]` of the Hub, or
                `vit_{tiny,small,base,large}_patch16`.
            overrides: arguments of the constructor, such as `image_size=96`; of a trained one those that leave its
                weights their shapes.

        Raises:
            ValueError: where there is no such preset, or what is trained has another shape.
        """
        if name in ENCODERS:
            return cls(**{**ENCODERS[name], **overrides})
        # It knows this class.
        from clicv2_keras.models.find_model import encoder_of, find_model

        if not is_hub_address(name):
            preset_config(name, trained_presets() | ENCODERS)
        encoder = encoder_of(find_model(name))
        try:
            return encoder.copy(**overrides) if overrides else encoder
        except ValueError as error:
            raise ValueError(f"{name!r} is trained and keeps its shape, not {overrides}: {error}") from None

    @classmethod
    def from_keras_hub(cls, backbone: keras.Model) -> Self:
        """An encoder that gives the patch tokens of a keras_hub backbone, after its last norm, with copied weights.

        SigLIP and SigLIP 2 fit: `keras_hub.models.Backbone.from_preset("siglip2_base_patch16_224")`. Their learnt
        positions go into a stem, with the patch embedding; they are right for images of the backbone's own size. A side
        that the patches do not divide loses what is left over, as in keras_hub.

        Args:
            backbone: a `SigLIPVisionEncoder`, or a backbone that has one as its `vision_encoder`.

        Raises:
            UserError: where a backbone cannot be an encoder exactly: in what it differs, and what it can be instead.
        """
        from clicv2_keras.models.from_keras_hub import from_keras_hub

        return from_keras_hub(cls, backbone)

    def copy(self, **changes) -> Self:
        """An encoder of the same weights with other arguments that change none of their shapes, as `value_range`.

        One of another `image_size` has positions of its own, one unit a patch: they are not stretched to the grid of
        this one, as those of an image of that size are that this one is given.
        """
        if self.stem is not None and "dtype" in changes:
            stem = self.stem.copy(changes["dtype"])
            changes = {"stem": keras.saving.serialize_keras_object(stem), **changes}
        other = type(self).from_config({**self.get_config(), **changes})
        # One by one: what is trainable orders the weights of the whole.
        for theirs, ours in zip(other._parts(), self._parts(), strict=True):
            copy_weights(ours, theirs)
        other.fitted_to = self.fitted_to
        return other

    def untrained(self, seed: int) -> Self:
        """An encoder of the same arguments at a random initialisation; its stem, which came pretrained, stays."""
        # Initialisers draw their seeds from Python's generator. It is the caller's.
        state = random.getstate()
        random.seed(seed)
        try:
            other = type(self).from_config({**self.get_config(), "name": "untrained_encoder"})
        finally:
            random.setstate(state)
        if self.stem is not None:
            copy_weights(self.stem, other.stem)
        return other

    def _parts(self):
        return [*([] if self.stem is None else [self.stem]), self.patch_projection, *self.blocks, self.norm]

    def build(self, input_shape=None):
        inputs = 3 * self.patch_size**2 if self.stem is None else self.stem.width
        self.patch_projection.build((None, None, inputs))
        for layer in (*self.blocks, self.norm):
            layer.build((None, None, self.width))
        self.built = True

    def call(self, images):
        check_shape(images)
        grid = grid_shape(images, self.patch_size)
        if self.stem is not None:
            return self._attend(self.stem(as_pixels(images, self.value_range), grid=grid), grid)
        return self.encode(patchify(images, self.patch_size), grid)

    def encode(self, patches, grid=None, keep=None, read=None, positions=True):
        """Tokens (B, N, K or n, output_dim) of patches (B, N, P², 3), of the types that images may have.

        Args:
            patches: as `patchify` or `ShiftedPatchify` cut them.
            grid: rows and columns of patches; those of `image_size` by default.
            keep: optional int (B, K): encode these patches alone. A stem, whose view of a patch reaches into its
                neighbours, is shown grey in place of the others.
            read: optional int (n,): give these tokens alone, which spares the last block what nobody reads; numbers
                of patches, or with `keep` among those kept.
            positions: add the codes of the patches' places. Without them tokens are told apart by what they show.
        """
        grid = grid or self.grid
        if self.stem is not None:
            patches = as_pixels(patches, self.value_range)
            if keep is not None:
                patches = _grey_but(patches, keep)
            inputs = self.stem(unpatchify(patches, self.patch_size, grid), grid=grid)
            inputs = inputs if keep is None else ops.take_along_axis(inputs, keep[..., None], axis=1)
            return self._attend(inputs, grid, keep, read, positions)
        patches = ops.reshape(patches, (-1, patches.shape[1], 3 * self.patch_size**2))
        if keep is not None:
            patches = ops.take_along_axis(patches, keep[..., None], axis=1)
        return self._attend(self._pixels(patches), grid, keep, read, positions)

    def _attend(self, inputs, grid, keep=None, read=None, positions=True):
        """Tokens of what the projection takes of each patch, (B, N or K, F)."""
        tokens = self.patch_projection(inputs)
        if positions:
            codes = ops.convert_to_tensor(sincos_positions(grid, self.width, self.grid))
            codes = ops.cast(codes, self.compute_dtype)[None]
            tokens = tokens + (codes if keep is None else ops.take(codes[0], keep, axis=0))
        for block in self.blocks:
            rows = read if block is self.blocks[-1] else None

            # A function of its own each time: JAX remembers a traced one together with the weights that it saw.
            def compute(x, block=block, rows=rows):
                return block(x, rows)

            tokens = (keras.remat(compute) if self.recompute else compute)(tokens)
        tokens = self.norm(tokens)
        if self.stem is None or not self.stem_skip:
            return tokens
        return ops.concatenate([tokens, inputs if read is None else ops.take(inputs, read, axis=1)], axis=-1)

    def _pixels(self, patches):
        """Patches (B, N, 3 P²) as the projection takes them: about 0, the detail amplified."""
        count, size = patches.shape[1:]
        # In float32: bfloat16 has 8 bits, and the gain would multiply what they round.
        pixels = ops.reshape(as_pixels(patches, self.value_range) / 127.5 - 1.0, (-1, count, size // 3, 3))
        mean = ops.mean(pixels, axis=2, keepdims=True)
        pixels = mean + self.detail_gain * (pixels - mean)
        return ops.cast(ops.reshape(pixels, (-1, count, size)), self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "image_size": self.image_size,
            "patch_size": self.patch_size,
            "width": self.width,
            "depth": self.depth,
            "num_heads": self.num_heads,
            "mlp_ratio": self.mlp_ratio,
            "freeze_patch_projection": self.freeze_patch_projection,
            "detail_gain": self.detail_gain,
            "stem": None if self.stem is None else keras.saving.serialize_keras_object(self.stem),
            "stem_skip": self.stem_skip,
            "value_range": self.value_range,
        }


def _grey_but(patches, keep):
    """Patches (B, N, P², 3), in [0, 255], all but those of `keep` (B, K) in middle grey."""
    visible = ops.max(ops.one_hot(keep, patches.shape[1], dtype="int32"), axis=1)
    return ops.where(visible[..., None, None] > 0, patches, ops.cast(127, patches.dtype))
