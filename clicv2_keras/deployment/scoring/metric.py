from typing import Any

import numpy as np

from clicv2_keras.deployment.scoring.scorer import Scorer
from clicv2_keras.utils.paths import StrPath

FORMATS = ("channels_last", "channels_first")


class ComplexityMetric:
    """The complexity of arrays in memory, with the calls of a `keras.metrics.Metric`: of what a generator draws, say.

    ```python
    metric = ComplexityMetric(value_range=(0, 1), data_format="channels_first")
    metric(batch)                    # float32 (B,), of a PyTorch tensor (B, 3, H, W) in [0, 1]
    metric.update_state(batch)
    metric.result()                  # the mean over all that came since `reset_state`
    ```

    It takes what NumPy can read: arrays, and tensors of TensorFlow, JAX and PyTorch. It computes by LiteRT on the CPU,
    an image at a time, and gives no gradients; for those there is `ComplexityScorer`.

    Args:
        model: see `Scorer`.
        value_range: what black and white are in the arrays, such as (0, 1) or (-1, 1). It is never guessed. What lies
            outside of it, and what is no number, is an error.
        data_format: `"channels_last"` for (B, H, W, 3), or `"channels_first"` for (B, 3, H, W).
        threads: see `Scorer`.

    Raises:
        ValueError: where the format is another, or the range is none.
        UserError: where there is no such model.
    """

    def __init__(
        self,
        model: StrPath = "default",
        value_range: tuple[float, float] = (0, 255),
        data_format: str = "channels_last",
        threads: int = 1,
    ) -> None:
        if data_format not in FORMATS:
            raise ValueError(f"data_format must be one of {', '.join(FORMATS)}, got {data_format!r}.")
        if not (len(value_range) == 2 and value_range[0] < value_range[1]):
            raise ValueError(f"value_range must be two numbers, the lower first, got {value_range!r}.")
        self.value_range = tuple(value_range)
        self.data_format = data_format
        self._scorer = Scorer(model, threads)
        self.reset_state()

    def __call__(self, images: Any) -> np.ndarray:
        """Scores float32 (B,), in [0, 1], of a batch of images, any numbers in the range; the state is left alone.

        Raises:
            ValueError: where the batch has another shape, or values out of the range.
        """
        return np.array([each.score for each in self._scorer.score(self._pixels(images))], "float32")

    def update_state(self, images: Any) -> None:
        """Count a batch in."""
        scores = self(images)
        self._sum += float(scores.sum(dtype="float64"))
        self._count += len(scores)

    def result(self) -> float:
        """The mean score of all that was counted in; NaN of none."""
        return self._sum / self._count if self._count else float("nan")

    def reset_state(self) -> None:
        """Forget what was counted in."""
        self._sum, self._count = 0.0, 0

    def _pixels(self, images):
        """uint8 (B, H, W, 3)."""
        images = _as_numpy(images)
        if images.ndim != 4 or images.shape[3 if self.data_format == "channels_last" else 1] != 3:
            expected = "(B, H, W, 3)" if self.data_format == "channels_last" else "(B, 3, H, W)"
            raise ValueError(f"images must be {expected} with data_format={self.data_format!r}, got {images.shape}.")
        if self.data_format == "channels_first":
            images = images.transpose(0, 2, 3, 1)
        low, high = self.value_range
        if images.dtype == np.uint8 and (low, high) == (0, 255):
            return np.ascontiguousarray(images)
        images = images.astype("float32")
        # Negated, so that what is no number is out of the range.
        if not np.all((images >= low) & (images <= high)):
            raise ValueError(
                f"images must lie in value_range={self.value_range}, got {images.min():.4g} to {images.max():.4g}."
            )
        return np.rint((images - low) * (255 / (high - low))).astype("uint8")


def _as_numpy(images):
    """An array of what NumPy can read; of a PyTorch tensor wherever it lies."""
    if hasattr(images, "detach"):
        images = images.detach().cpu()
        # bfloat16, which NumPy has not.
        images = images.float() if images.is_floating_point() else images
    return np.asarray(images)
