"""What an image looks like, in 194 bytes: enough to know it again, and not to take another for it."""

import numpy as np
from PIL import Image

# Sides of the thumbnails of luma and of the two chroma channels.
LUMA, CHROMA = 12, 5
BYTES = LUMA**2 + 2 * CHROMA**2
# Levels of 255. Luma: between them an eighth of the thumbnail's contrast, for flat charts differ less than photographs.
LEAST, MOST, SHARE = 2.5, 5.0, 0.125
MOST_CHROMA = 4.0
# Rows that are compared at once, to bound the memory.
_BLOCK = 1024


def fingerprint(image):
    """A `PIL.Image` of mode RGB, upright, as thumbnails: 12 x 12 of luma, 5 x 5 x 2 of chroma; uint8 (194,)."""
    # The triangle filter, as for a network's input. Smaller first: to convert a large image takes longer.
    small = image.resize((LUMA, LUMA), Image.Resampling.BILINEAR).convert("YCbCr")
    luma = np.asarray(small)[..., 0]
    chroma = np.asarray(small.resize((CHROMA, CHROMA), Image.Resampling.BILINEAR))[..., 1:]
    return np.concatenate([luma.reshape(-1), chroma.reshape(-1)])


class Fingerprints:
    """A set of images that can be known again, whatever their file: another format, JPEG at quality 70, half the size.

    Two fingerprints are of one image where the root mean squared difference of luma is at most an eighth of the stored
    one's contrast (its standard deviation), or between 2.5 and 5 of 255 levels in any case, and that of chroma at most
    4. A crop, a mirror image or a change of brightness is another image to it.

    Measured on the 1,712 images of Savoias and Nagle by `benchmarks/fingerprints.py`: all are known again after PNG,
    JPEG at quality 70, half the size by five filters, both together and a quarter of the size, at .86 of the bound at
    most; none is taken for another but five paintings that Savoias holds twice, and the nearest of the others are 4.1
    bounds apart, of flat Suprematism 4.9. See `benchmarks/results/fingerprints.md`.

    Args:
        codes: uint8 (n, 194), rows of `fingerprint`; none by default.
    """

    def __init__(self, codes=()):
        self.codes = np.unique(np.asarray(codes, "uint8").reshape(-1, BYTES), axis=0)

    def __len__(self):
        return len(self.codes)

    def __or__(self, other):
        """The images of either set."""
        return Fingerprints(np.concatenate([self.codes, other.codes]))

    def known(self, codes):
        """Which of the fingerprints uint8 (m, 194) are of images of this set: bool (m,)."""
        codes = np.asarray(codes, "uint8").reshape(-1, BYTES)
        found = np.zeros(len(codes), bool)
        for start in range(0, len(codes), _BLOCK):
            asked = codes[start : start + _BLOCK]
            for first in range(0, len(self.codes), _BLOCK):
                found[start : start + _BLOCK] |= alike(self.codes[first : first + _BLOCK], asked).any(axis=0)
        return found


def alike(stored, asked):
    """Which of fingerprints (n, 194) and (m, 194) are of one image by the rule of `Fingerprints`: bool (n, m)."""
    return np.all(differences(stored, asked) <= bounds(stored)[..., None], axis=0)


def differences(stored, asked):
    """Root mean squared differences of luma and of chroma: float (2, n, m), in levels of 255."""
    found = []
    for part in (slice(0, LUMA**2), slice(LUMA**2, None)):
        # |a - b|² by one product of matrices. Whole numbers below 2^24: exact in float32 too.
        a, b = (codes[:, part].astype("float32") - 128 for codes in (stored, asked))
        squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * a @ b.T
        found.append(np.sqrt(squares / a.shape[1]))
    return np.stack(found)


def bounds(stored):
    """How far luma and chroma of one image may be from fingerprints (n, 194): float (2, n), in levels of 255."""
    luma = np.clip(SHARE * stored[:, : LUMA**2].std(axis=1), LEAST, MOST)
    return np.stack([luma, np.full(len(stored), MOST_CHROMA)])
