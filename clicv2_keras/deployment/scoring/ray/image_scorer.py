"""What a worker does with a picture, whatever it came from."""

import tempfile

from ray.util.metrics import Counter

from clicv2_keras.deployment.scoring.decoder import Decoder
from clicv2_keras.deployment.scoring.rows import Row, row_of
from clicv2_keras.deployment.scoring.scorer import Scorer
from clicv2_keras.deployment.scoring.tiles import tile_name
from clicv2_keras.utils.images import UnreadableImage


class ImageScorer:
    """Makes rows of pictures: decoded in a child process, scored by LiteRT in this one, on one core in turns.

    What it counts is in Ray's metrics, `clicv2_keras_images_scored` and `clicv2_keras_images_failed`.

    Args:
        model: bytes of a `.tflite` file: the workers need not have it.
        tiling: a `Tiling`, for a row for each tile, or None.
        seconds: that the decoding of one picture may take.
    """

    def __init__(self, model, tiling, seconds):
        with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
            file.write(model)
            file.flush()
            self._scorer = Scorer(file.name)
        self._decoder = Decoder(self._scorer.image_size, tiling, seconds)
        self._scored = Counter("clicv2_keras_images_scored", "Pictures or tiles that have a score.")
        self._failed = Counter("clicv2_keras_images_failed", "Pictures that have an error in place of a score.")

    def rows(self, file, source, error=None):
        """Yield (`Row`, `Score` or None): one of a picture, or one for each of its tiles.

        Args:
            file: what the row is called.
            source: a path, encoded bytes, or an array as `Scorer` takes it.
            error: why there is no source.
        """
        try:
            if error is not None:
                raise UnreadableImage(error)
            for box, picture in self._pictures(source):
                result = self._scorer.run(picture)
                self._scored.inc()
                yield row_of(tile_name(file, box), result), result
        except (UnreadableImage, ValueError) as reason:
            self._failed.inc()
            yield Row(file, error=str(reason)), None

    def _pictures(self, source):
        if isinstance(source, str | bytes):
            return self._decoder.pictures(source)
        return [(None, self._scorer.read(source))]
