import math

from PIL import Image

from clicv2_keras.utils.procedural import procedural_image

# Drawing costs milliseconds, as much as a training step of a small model: images are kept up to this many bytes.
CACHE_BYTES = 512 * 2**20


class ProceduralSource:
    """Procedural images by number, of known complexity.

    Args:
        num_images: how many there are.
        image_size: side in pixels of what will be cut from them; they are drawn √2 times as large, so that a crop of
            half the area is not blown up.
        seed: another seed gives other images, without overlap.
    """

    def __init__(self, num_images, image_size, seed=0):
        self.num_images = num_images
        self.side = math.ceil(image_size * math.sqrt(2))
        self.seed = seed
        self._drawn = {}

    def __len__(self):
        return self.num_images

    def name(self, index):
        return f"procedural {self.seed}/{index}"

    def load(self, index, at_least=None):
        """The image, a `PIL.Image` of mode RGB."""
        return Image.fromarray(self._draw(index)[0])

    def complexity(self, index):
        """The image's known complexity, in [0, 1]."""
        return self._draw(index)[1]

    def _draw(self, index):
        drawn = self._drawn.get(index) or procedural_image((self.seed << 32) + index, self.side)
        if len(self._drawn) < CACHE_BYTES // (3 * self.side**2):
            self._drawn[index] = drawn
        return drawn
