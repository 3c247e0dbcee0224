"""The schema of a recipe: every key with its type, default, unit and meaning. `clicv2-keras recipe` prints it."""

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator
from pydantic_core import PydanticCustomError

from clicv2_keras.recipe.shapes import ENCODERS, Copy, Statistic

MOST = 2**31 - 1
Positive = Annotated[int, Field(ge=1, le=MOST)]
Count = Annotated[int, Field(ge=0, le=MOST)]
# Of a batch of 256; in proportion to the batch, as MoCo v3 takes it (arXiv 2104.02057).
LEARNING_RATE = 1.5e-4
ScoredSet = Literal["ic9600", "savoias", "nagle", "csv"]
Share = Annotated[float, Field(gt=0, le=1)]
MaskRatio = Annotated[float, Field(ge=0, lt=1)]


def _kinds(annotation):
    """The types that a value may have, those within a union or a list among them."""
    parts = get_args(annotation)
    return [kind for part in parts for kind in _kinds(part)] if parts else [annotation]


class Section(BaseModel):
    """A part of a recipe; unknown keys, NaN and infinity are mistakes."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value, info):
        """To Python true is 1, and to whoever writes it a slip."""
        kinds = _kinds(cls.model_fields[info.field_name].annotation)
        if isinstance(value, bool) and bool not in kinds and (int in kinds or float in kinds):
            raise PydanticCustomError("number_type", "Input should be a valid number")
        return value


class Data(Section):
    """The images, and the views made of them."""

    source: Literal["procedural", "folder", "list", "records"] = Field(
        "procedural",
        description="drawn from a seed; all images below a folder; those a text file lists, one a line; or what "
        "clicv2-keras prepare packed",
    )
    path: str | None = Field(
        None, description="the folder or the list file; records may lie at gs://…; none for procedural"
    )
    num_images: Annotated[int, Field(ge=1, le=10**8)] | None = Field(
        4096, description="images in the procedural source; the others use all"
    )
    image_size: Positive = Field(96, description="side of the square training images, pixels; a multiple of the patch")
    views: Literal["same_crop", "two_crops"] = Field(
        "same_crop",
        description="both views from one crop and flip, so that positions correspond; or a crop each",
    )
    min_area: Share = Field(0.2, description="smallest area of a random crop, as a share of the image; 1 crops none")
    flip: bool = Field(True, description="mirror half of the crops left to right")
    jitter: float = Field(
        0.2,
        ge=0,
        le=1,
        description="strength of the colour jitter of each contrasted view, 0 to 1; 0 is off. What other branches read "
        "is never jittered",
    )
    grey: float = Field(0.0, ge=0, le=1, description="share of the contrasted views that lose their colour")
    held_out: Count = Field(
        0,
        description="images that are never trained on, chosen by their names' hash; a guide is judged on them",
    )


class Encoder(Section):
    """The vision transformer. `null` takes the preset's value."""

    preset: Literal[tuple(ENCODERS)] = Field(  # type: ignore[valid-type]
        "vit_tiny_patch16", description="size of the transformer; weights are random"
    )
    weights: str | None = Field(
        None,
        description="MODEL whose encoder is the start: a preset, a run folder or a .keras file; its shape and stem are "
        "then the encoder's, and of the keys for these stem_rate alone has a part. null is a random start",
    )
    patch_size: Positive | None = Field(None, description="side of a patch, pixels")
    width: Positive | None = Field(None, description="features a token; a multiple of 4 and of num_heads")
    depth: Positive | None = Field(None, description="number of blocks")
    num_heads: Positive | None = Field(None, description="attention heads a block")
    freeze_patch_projection: bool = Field(
        True, description="keep the random patch projection (stabilises MoCo v3); on a stem it is trained"
    )
    detail_gain: float = Field(
        4.0,
        gt=0,
        description="amplifies the detail of a patch against its mean colour; 1 is the plain ViT; a stem has none",
    )
    stem: str = Field(
        "linear",
        description="what of a patch is projected: linear, its pixels; or what the first stages of a pretrained "
        "convolutional network see there: keras_hub:PRESET, a preset's folder or a .keras file",
    )
    stem_stride: Positive = Field(16, description="the stem's deepest stage, pixels of the image a cell of its map")
    stem_skip: bool = Field(True, description="give the stem's features beside each token, past the blocks")
    stem_rate: float = Field(
        0.0,
        ge=0,
        description="learning rate of the stem's own weights, as a share of that of the others; 0 leaves them as they "
        "are, but for weights whose stem was trained already",
    )

    def shape(self):
        """`patch_size`, `width`, `depth` and `num_heads`: the preset's, and what the recipe puts in their place."""
        preset = ENCODERS[self.preset]
        return {key: getattr(self, key) or preset[key] for key in ("patch_size", "width", "depth", "num_heads")}


class Contrast(Section):
    """The contrastive branch: patches against patches, or images against images."""

    level: Literal["patch", "image", "none"] = Field("patch", description="what is contrasted; none switches it off")
    shift_mode: Literal["patch", "grid", "roll", "none"] = Field(
        "patch", description="a shift a patch; one an image; rolled inside the patch; or none"
    )
    max_shift: Positive | None = Field(None, description="largest shift, pixels; null is half a patch")
    keep_ratio: Share = Field(
        1.0,
        description="share of the patches that each view keeps, another random part in each but for the contrasted "
        "tokens; the rest is not encoded, so that a step costs less and the views' layout differs",
    )
    position_codes: bool = Field(True, description="tell the encoder where patches lie, in this branch's passes")
    negatives: Literal["same_position", "all", "entropy_weighted", "same_image"] = Field(
        "same_position",
        description="tokens at that position in other images; all other tokens; all, by entropy difference; or the "
        "other tokens of the same image",
    )
    tokens: Positive = Field(16, description="tokens contrasted an image, at most the number of patches")
    temperature: float = Field(0.2, gt=0, description="divides the cosine similarities")
    projector_hidden: Positive | None = Field(
        None, description="hidden width of the heads; null is 4096, or 1024 up to width 192"
    )
    projection_dim: Positive = Field(256, description="width of the contrasted vectors")
    statistics: Literal["all", "position"] = Field(
        "all", description="the heads normalise over batch and tokens together, or position by position"
    )
    momentum: float = Field(0.99, ge=0, le=1, description="of the teacher at the start; rises to 1 by cosine")
    global_weight: float = Field(
        0.0, ge=0, description="at level patch, of an image-wise term beside it, meant to bring back content"
    )
    copies: list[Copy] = Field(
        [],
        description="copies of the same content at another complexity, one of these an image: further negatives, and "
        "which is simpler is to be told; tile alone makes more complex. Another pass of one view",
    )
    copies_weight: float = Field(1.0, ge=0, description="of telling which is simpler, beside the contrastive loss")
    margin: float = Field(1.0, gt=0, description="by how much the more complex one is to stand above the other")
    energy_weight: float = Field(
        0.0,
        ge=0,
        description="of CLIC's term in an image-wise contrast: squared difference between the features' mean "
        "magnitude, 0 to 1 within the batch, and the view's entropy; CLIC took .25",
    )


class Entropy(Section):
    """Masked entropy modelling: recover the entropy of hidden patches from the visible ones."""

    weight: float = Field(1.0, ge=0, description="of this loss beside the contrastive one; 0 switches it off")
    bins: int = Field(
        256, ge=2, le=256, description="bins of the luma histogram, for contrast.negatives=entropy_weighted too"
    )
    target: Literal["patch", "image", "both"] = Field(
        "patch", description="each hidden patch, the image's mean, or both"
    )
    mask_ratio: MaskRatio | list[MaskRatio] = Field(
        0.75, description="share of the patches that is hidden; several in a list have each a part of every batch"
    )
    statistics: list[Statistic] = Field(
        ["entropy"],
        min_length=1,
        description="what is recovered of each patch: the entropy of bins, of 16, 32 or 256 bins, or of 32 after "
        "averaging 2 x 2 or 4 x 4 pixels; the number of colours; the deviation; the gradient, at two scales",
    )
    visible: bool = Field(False, description="also read them off the tokens of the patches that are not hidden")
    decoder_depth: Positive = Field(2, description="blocks of the decoder")
    decoder_width: Positive = Field(192, description="features a token in the decoder; a multiple of 4")


class Guide(Section):
    """A branch that the paper does not know: learn what a pretrained network, the teacher, sees in the whole image."""

    teacher: str | None = Field(
        None,
        description="keras_hub:PRESET, a preset's folder or a .keras file, asked in every step; packed: what one saw "
        "whom clicv2-keras prepare --teacher asked, beside the records; or pixels: no network, but what slow programs "
        "count in the pixels of each image (segments, colours, edges, bytes); null is no guide",
    )
    weight: float = Field(1.0, gt=0, description="of this loss beside the others")
    grid_weight: float = Field(1.0, ge=0, description="within it, of the features a patch")
    pooled_weight: float = Field(1.0, ge=0, description="within it, of the features of the whole image")
    grid_dim: Positive = Field(160, description="principal components of the features a patch; packed has its own")
    pooled_dim: Positive = Field(384, description="those of the features of the whole image; packed has its own")
    sample: Annotated[int, Field(ge=2, le=MOST)] = Field(
        4000,
        description="images that the components, or means and deviations, are found on when the run begins; packed has "
        "its own",
    )


class LabelledSets(Section):
    """Base of a section that names data sets with scores, one or several."""

    @property
    def datasets(self):
        """The names in a list."""
        return [self.dataset] if isinstance(self.dataset, str) else self.dataset

    @property
    def roots(self):
        """Where they lie, in a list."""
        return [self.root] if isinstance(self.root, str) else self.root


class Labels(LabelledSets):
    """A branch for images with human labels: two crops of each through a linear head that averages over the patches."""

    dataset: str | list[str] | None = Field(None, description="as for finetune, one or several; null is no labels")
    root: str | list[str] | None = Field(None, description="each data set's folder; for csv the table itself")
    splits: list[str] = Field(["train"], description="parts of the data sets that are fitted to")
    within_category: bool | None = Field(
        None, description="scores compare only within a category; null leaves it to the data set"
    )
    parts: list[Literal["token", "deviation", "diversity"]] | None = Field(
        None, description="what the head reads of each patch; null is all"
    )
    steadiness: float = Field(
        25.0,
        ge=0,
        description="of the head's start, fitted by least squares: how little mirroring, slight crops and resizing "
        "shall move a score; 0 fits the labels alone",
    )
    weight: float = Field(1.0, gt=0, description="of this loss beside the others")


class Optimizer(Section):
    """AdamW; the learning rate rises linearly, then follows its schedule."""

    learning_rate: float | None = Field(
        None, gt=0, description="highest learning rate; null is MoCo v3's rule, 1.5e-4 · batch_size / 256"
    )
    weight_decay: float = Field(0.1, ge=0, description="decoupled weight decay; biases and norms are spared")
    warmup_steps: Count | None = Field(None, description="steps of the linear rise; null is a tenth of train.steps")
    schedule: Literal["cosine", "constant_then_decay"] = Field(
        "cosine",
        description="down to 0 from the rise's end on; or level, and down by 1 - √ in the last steps: a run that may "
        "go on as long as it pays, and from any checkpoint of which --from branches a decay",
    )
    decay_steps: Count | None = Field(
        None, description="of constant_then_decay, the last steps; 0 stays level, null is a fifth of train.steps"
    )
    beta_2: float = Field(0.95, gt=0, lt=1, description="memory of the squared gradients")
    average: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="what a moving average of the weights keeps a step, such as .999; it is judged beside them and "
        "saved as encoder_ema.keras; 0 is none. The contrast's teacher is one already",
    )


class Train(Section):
    """How long, how much at once, how precisely."""

    batch_size: Positive = Field(128, description="images a step, of all devices and micro-batches together")
    accumulate: Positive = Field(
        1,
        description="micro-batches a step, one after the other, to save memory; an image is contrasted with those of "
        "its own micro-batch alone, so that this is not the same as a batch at once",
    )
    steps: Count = Field(1000, description="steps of the optimizer; 0 saves the encoder as initialised")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="of the computation; weights stay float32")
    jit: bool | Literal["always"] = Field(
        True,
        description="compile the step with XLA where Keras does so by itself: on JAX, and on TensorFlow on a GPU; "
        "`always` on TensorFlow on a CPU too (all but products where these are in bfloat16, beside convolutions, or on "
        "several devices): half a minute at the start, then cheaper steps",
    )
    recompute: bool = Field(
        False, description="recompute activations of the blocks in the backward pass: less memory, more time"
    )


class Distribution(Section):
    """The devices of a run, each of which computes a share of every batch."""

    strategy: Literal["none", "data_parallel"] = Field(
        "none", description="one device; or several with the whole model each, on JAX and TensorFlow"
    )
    devices: Positive | None = Field(None, description="devices to take; null is all")
    processes: Positive = Field(
        1,
        description="started with this same command, on JAX; which is which is for SLURM to say, or for "
        "KERAS_DISTRIBUTION_JOB_ADDRESSES and KERAS_DISTRIBUTION_PROCESS_ID in the environment",
    )


class Run(Section):
    """Where the results go, and how often."""

    dir: str | None = Field(None, description="the run folder; null is runs/NAME")
    log_every: Positive = Field(50, description="steps a row of metrics.csv")
    checkpoint_every: Positive = Field(500, description="steps between checkpoints, rounded up to a row's end")
    keep_checkpoints: Positive = Field(2, description="the newest checkpoints that are kept")
    images_every: Count = Field(
        0,
        description="steps between pictures in TensorBoard, rounded up to a row's end; 0 is off. Of 4 images: the "
        "shifted views, the mask, true and predicted entropy",
    )
    wandb: str | None = Field(
        None, min_length=1, description="project at Weights & Biases that gets the rows too; null is none"
    )


class Probe(LabelledSets):
    """Labelled sets that the features are judged on now and then; the best encoder is kept as encoder_best.keras."""

    dataset: ScoredSet | list[ScoredSet] | None = Field(
        None, description="as for evaluate; of several the mean counts; null is no probe"
    )
    root: str | list[str] | None = Field(None, description="each data set's folder; for csv the table itself")
    every: Positive = Field(500, description="steps between, rounded up to a row's end; the last row is always judged")
    split: str | None = Field(
        None,
        description="part to judge on, train is fitted on; null is val where there is a test too, "
        "else cross-validation without both. Never test",
    )
    within_category: bool | None = Field(
        None, description="scores compare only within a category; null leaves it to the data set"
    )


class Recipe(Section):
    """One training run, complete: the same recipe and backend give the same run."""

    name: str = Field("unnamed", min_length=1, description="names the run folder")
    seed: Count = Field(0, description="of the initial weights, the images, the views and the draws")
    backend: Literal["tensorflow", "jax", "torch"] | None = Field(
        None, description="null is KERAS_BACKEND, or else tensorflow"
    )
    data: Data = Data()
    encoder: Encoder = Encoder()
    contrast: Contrast = Contrast()
    entropy: Entropy = Entropy()
    guide: Guide = Guide()
    labels: Labels = Labels()
    optimizer: Optimizer = Optimizer()
    train: Train = Train()
    distribution: Distribution = Distribution()
    run: Run = Run()
    probe: Probe = Probe()

    # The file or option that each key comes from; of a key that none says, that of the empty one.
    _origins: dict = PrivateAttr(default_factory=dict)

    def __eq__(self, other):
        """Where values come from makes no other recipe of them."""
        return isinstance(other, Recipe) and self.model_dump() == other.model_dump()

    def where(self, key):
        """How a line on what is wrong with a key begins: where it comes from, and the key."""
        return f"{self._origins.get(key) or self._origins.get('') or self.name}: {key}"

    @property
    def reads_images(self):
        """Whether anything is learnt from the images of `data`; else those of `labels` are all."""
        return self.contrast.level != "none" or bool(self.entropy.weight) or self.guide.teacher is not None

    @property
    def learning_rate(self):
        """The highest learning rate: `optimizer.learning_rate`, or by the rule."""
        given = self.optimizer.learning_rate
        return LEARNING_RATE * self.train.batch_size / 256 if given is None else given
