"""Images drawn from a seed, whose complexity is known because it is computed from what was drawn.

A scene is a background (flat, gradient, power-law noise or a texture), up to some hundreds of elements (dead leaves,
lines, polygons, glyphs) in a palette of few to many colours, and sometimes a blur over all of it.

Its complexity is the length of its description, of what can be seen of it:

    bits       = background bits + sum over elements of bits(kind) * visibility
    bits(kind) = the numbers that place the element (6 bits each), its shape, and log2(palette) for its colour
    visibility = contrast with the background * share not covered by others * detail² / (detail² + (2 blur)²)
    complexity = log(1 + bits / B0) / log(1 + B1 / B0), clipped to [0, 1]

A background adds little, however many bits its pixels hold: noise and gratings have short descriptions, longer where
they are rough, fine and strong. The formula looks at the scene's parameters alone, never at its pixels.

Version 1, frozen before the first model was trained on it: figures stay comparable only while it stays as it is.
"""

import functools
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

VERSION = 1
B0, B1 = 30.0, 6000.0
# Bits of an element by kind: the numbers that place it at 6 bits each, and its shape or sign.
BITS = {"leaf": 18 + 2, "line": 24 + 2, "polygon": 36 + 2, "glyph": 18 + 6}
# What of an element's radius is its smallest detail, which a blur takes first.
DETAIL = {"leaf": 1.0, "line": 0.15, "polygon": 0.7, "glyph": 0.3}
KINDS = tuple(BITS)
BACKGROUNDS = ("flat", "gradient", "noise", "texture")
GLYPHS = "ABCDEFGHJKLMNPQRSTUVWXYZabdefghkmnpqrstxyz0123456789&@#%?!+*"
MAX_ELEMENTS = 700
NOISE_SIDE = 128


def procedural_image(seed, size):
    """Draw the scene of a seed.

    Args:
        seed: a non-negative int. The same seed is the same scene at every size.
        size: side of the image in pixels.

    Returns:
        The image, uint8 (size, size, 3), and its complexity, a float in [0, 1].
    """
    rng = np.random.default_rng(seed)
    scene = _scene(rng)
    # Twice the size and then reduced: edges without steps.
    side = 2 * size
    canvas = Image.fromarray(_background(scene, rng, size)).resize((side, side), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(canvas)
    for element in scene["elements"]:
        _draw_element(draw, element, side)
    image = canvas.reduce(2)
    if scene["blur"]:
        image = image.filter(ImageFilter.GaussianBlur(scene["blur"] * size))
    return np.asarray(image), _complexity(scene)


def procedural_complexity(seed):
    """The complexity of a seed's scene, a float in [0, 1], without drawing it."""
    return _complexity(_scene(np.random.default_rng(seed)))


def _scene(rng):
    """The parameters of a scene: lengths as shares of the side, colours in [0, 255]."""
    amount = rng.uniform(0, 1.1)
    budget = B0 * ((1 + B1 / B0) ** amount - 1)
    colors = rng.integers(2, 33)
    kind = rng.choice(BACKGROUNDS)
    scene = {
        "background": kind,
        "palette": _palette(rng, colors),
        "base": rng.integers(0, 256, 3),
        "second": rng.integers(0, 256, 3),
        "strength": 0.0 if kind == "flat" else rng.uniform(0.1, 1),
        "fineness": rng.uniform(0, 1),
        "angle": rng.uniform(0, np.pi),
        "texture": rng.choice(("grating", "checks", "dots")),
        "blur": rng.uniform(0.002, 0.02) if rng.random() < 0.3 else 0.0,
    }
    kinds = rng.permutation(KINDS)[: rng.integers(1, 4)]
    rest = max(budget - _background_bits(scene), 0)
    count = min(int(rest / (np.mean([BITS[k] for k in kinds]) + np.log2(colors))), MAX_ELEMENTS)
    size = np.clip(0.4 / np.sqrt(count + 1), 0.015, 0.25)
    scene["elements"] = _elements(rng, count, kinds, size, scene["palette"])
    return scene


def _palette(rng, colors):
    """Few hues with many shades, or many hues."""
    anchors = rng.integers(0, 256, (max(2, colors // rng.integers(1, 5)), 3))
    mixed = anchors[rng.integers(0, len(anchors), colors)] + rng.normal(0, 25, (colors, 3))
    return mixed.clip(0, 255).astype(int)


def _elements(rng, count, kinds, size, palette):
    """`count` elements of radius about `size`, back to front."""
    corners = rng.integers(3, 7, count)
    angles = np.sort(rng.uniform(0, 2 * np.pi, (count, 6)), axis=1)
    columns = {
        "kind": kinds[rng.integers(0, len(kinds), count)].tolist(),
        "center": rng.uniform(-0.05, 1.05, (count, 2)).tolist(),
        "radius": (size * rng.lognormal(0, 0.5, count)).tolist(),
        "angle": rng.uniform(0, 2 * np.pi, count).tolist(),
        "aspect": rng.uniform(0.4, 1, count).tolist(),
        "round": (rng.random(count) < 0.6).tolist(),
        "corners": [
            row[:n] for row, n in zip(np.stack([np.cos(angles), np.sin(angles)], axis=2).tolist(), corners, strict=True)
        ],
        "glyph": [GLYPHS[i] for i in rng.integers(0, len(GLYPHS), count)],
        "color": palette[rng.integers(0, len(palette), count)].tolist(),
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _draw_element(draw, element, side):
    x, y = (place * side for place in element["center"])
    radius, color = max(element["radius"] * side, 1.0), tuple(element["color"])
    if element["kind"] == "leaf":
        box = (x - radius, y - radius * element["aspect"], x + radius, y + radius * element["aspect"])
        (draw.ellipse if element["round"] else draw.rectangle)(box, fill=color)
    elif element["kind"] == "line":
        dx, dy = 2 * radius * math.cos(element["angle"]), 2 * radius * math.sin(element["angle"])
        width = max(int(radius * 0.15 * element["aspect"]), 1)
        draw.line((x - dx, y - dy, x + dx, y + dy), fill=color, width=width)
    elif element["kind"] == "polygon":
        draw.polygon([(x + radius * c, y + radius * s) for c, s in element["corners"]], fill=color)
    else:
        draw.text((x, y), element["glyph"], fill=color, font=_font(max(int(2 * radius), 6)), anchor="mm")


@functools.lru_cache(maxsize=256)
def _font(size):
    return ImageFont.load_default(size)


def _background(scene, rng, size):
    """Between the two colours of the background: uint8 (side, side, 3)."""
    mix = {"flat": _flat, "gradient": _gradient, "noise": _noise, "texture": _texture}[scene["background"]]
    share = (mix(scene, rng, size) * scene["strength"])[..., None]
    return (scene["base"] + share * (scene["second"] - scene["base"])).clip(0, 255).astype("uint8")


def _flat(scene, rng, size):
    return np.zeros((2, 2))


def _places(scene, size):
    """Coordinates of the pixel centres along and across the scene's angle."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    cosine, sine = np.cos(scene["angle"]), np.sin(scene["angle"])
    return x * cosine + y * sine, y * cosine - x * sine


def _gradient(scene, rng, size):
    along, _ = _places(scene, size)
    return (along - along.min()) / np.ptp(along)


def _noise(scene, rng, size):
    """Gaussian noise whose spectrum falls as a power of the frequency, from clouds (-2) to grain (-0.5)."""
    fy, fx = np.fft.fftfreq(NOISE_SIDE)[:, None], np.fft.rfftfreq(NOISE_SIDE)[None]
    frequency = np.hypot(fy, fx)
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.normal(size=(NOISE_SIDE, NOISE_SIDE))) * frequency ** -(2 - 1.5 * scene["fineness"])
    field = np.fft.irfft2(spectrum, s=(NOISE_SIDE, NOISE_SIDE))
    return (0.5 + 0.25 * field / field.std()).clip(0, 1)


def _texture(scene, rng, size):
    along, across = (p * _waves(scene) * 2 * np.pi for p in _places(scene, size))
    if scene["texture"] == "grating":
        return 0.5 + 0.5 * np.sin(along)
    product = np.sin(along) * np.sin(across)
    return (product > 0).astype(float) if scene["texture"] == "checks" else (product > 0.5).astype(float)


def _waves(scene):
    """Periods of the texture across the image."""
    return 2 * 10 ** scene["fineness"]


def _background_bits(scene):
    """From nothing for a flat one to 60 bits for the strongest and finest."""
    full = {"flat": 0, "gradient": 12, "noise": 60, "texture": 40}[scene["background"]]
    contrast = _contrast(scene["second"], scene["base"]) * scene["strength"]
    fineness = 1 if scene["background"] == "gradient" else 0.5 + 0.5 * scene["fineness"]
    sharpness = 1 if scene["background"] == "gradient" else _sharpness(0.01, scene["blur"])
    return full * contrast * fineness * sharpness


def _contrast(color, ground):
    """Distance of two colours, 1 from half the way between black and white on."""
    return np.minimum(np.linalg.norm(color - ground, axis=-1) / 220, 1.0)


def _sharpness(size, blur):
    """What a blur leaves of something of this size."""
    return size**2 / (size**2 + (2 * blur) ** 2)


def _complexity(scene):
    elements, ground = scene["elements"], scene["base"] + 0.5 * scene["strength"] * (scene["second"] - scene["base"])
    bits = _background_bits(scene)
    if elements:
        filled = sum(np.pi * e["radius"] ** 2 * e["aspect"] for e in elements if e["kind"] in ("leaf", "polygon"))
        # Of discs thrown at random, covering `filled` images in all, this share is left uncovered.
        uncovered = (1 - np.exp(-filled)) / filled if filled else 1.0
        color_bits = np.log2(len(scene["palette"]))
        contrast = _contrast(np.array([e["color"] for e in elements]), ground)
        sharpness = _sharpness(np.array([e["radius"] * DETAIL[e["kind"]] for e in elements]), scene["blur"])
        own_bits = np.array([BITS[e["kind"]] for e in elements]) + color_bits
        bits += np.sum(own_bits * contrast * sharpness) * uncovered
    return float(np.clip(np.log1p(bits / B0) / np.log1p(B1 / B0), 0, 1))
