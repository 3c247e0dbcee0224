"""Where a predictor and people agree best and worst, as pictures beside their complexity maps."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from scipy import stats

from clicv2_keras.utils.images import UnreadableImage, network_input
from clicv2_keras.utils.overlays import colorize, overlay

SHOWN = 6
# Pixels of the longer side, at twice the size on the page for the sake of sharp screens.
SIDE = 288
OPACITY = 0.75


@dataclass
class Card:
    """One image of the gallery.

    Attributes:
        name: what the label file calls it.
        category: "" where it has none.
        human: what people say of it, as text.
        predicted: what the predictor says of it, in the same terms.
        thumbnail: a `data:` URI, or None where the image cannot be read any more.
        overlay: the complexity map over it, likewise.
        problem: why it cannot be read, or None.
    """

    name: str
    category: str
    human: str
    predicted: str
    thumbnail: str | None = None
    overlay: str | None = None
    problem: str | None = None


@dataclass
class Gallery:
    """Up to six cards each; `limits` are the values in [0, 1] at the ends of the maps' colour scale, common to all."""

    best: list[Card]
    worst: list[Card]
    limits: tuple[float, float]
    colors: list[str]


def make_gallery(evaluation):
    """The `Gallery` of the main predictor of an `Evaluation`.

    Where scores are ranked within categories, ranks within the category are compared, else the scores. "Best" takes the
    closest agreement in each sixth of the range that people's scores cover, for the very closest would be alike.
    """
    judged = evaluation.main.images
    data = evaluation.data.subset(judged)
    values = evaluation.predictions[evaluation.main_index].values[judged]
    if data.ranked_within_category:
        human, human_texts = _ranks(data.scores, data.categories)
        predicted, predicted_texts = _ranks(values, data.categories)
    else:
        human, predicted = data.scores, values
        human_texts, predicted_texts = ([f"{v:.3g}" for v in evaluation.in_label_units(x)] for x in (human, predicted))
    off = np.abs(human - predicted)
    shown = min(SHOWN, len(data) // 2)
    worst = np.argsort(-off, kind="stable")[:shown]
    rest = np.setdiff1d(np.arange(len(data)), worst)
    sixths = np.array_split(rest[np.argsort(human[rest], kind="stable")], shown)
    best = [part[np.argmin(off[part])] for part in sixths]
    names, categories = data.names, data.categories
    cards = {i: Card(names[i], categories[i], human_texts[i], predicted_texts[i]) for i in [*best, *worst]}
    limits = _illustrate(cards, data.source, evaluation.model)
    colors = [f"rgb{tuple(color)}" for color in colorize(np.linspace(0, 1, 9)).tolist()]
    return Gallery([cards[i] for i in best], [cards[i] for i in worst], limits, colors)


def _ranks(values, categories):
    """Each value's place within its category: in [0, 1], and as text."""
    places, texts = np.zeros(len(values)), [""] * len(values)
    for name in np.unique(categories):
        index = np.flatnonzero(categories == name)
        ranks = stats.rankdata(values[index])
        places[index] = (ranks - 0.5) / len(index)
        for i, rank in zip(index, ranks, strict=True):
            texts[i] = f"{rank:g} of {len(index)}"
    return places, texts


def _illustrate(cards, source, model):
    """Give the cards their pictures, and return the limits of the common colour scale."""
    pictures = {}
    for i, card in cards.items():
        try:
            pictures[i] = source.load(i, at_least=2 * max(SIDE, model.image_size))
        except UnreadableImage as error:
            card.problem = str(error)
    if not pictures:
        return 0.0, 1.0
    inputs = np.stack([network_input(picture, model.image_size) for picture in pictures.values()])
    maps = model.maps(inputs)
    # A few extreme patches must not take the contrast from all others.
    low, high = (float(x) for x in np.percentile(maps, (1, 99)))
    for (i, picture), grid in zip(pictures.items(), maps, strict=True):
        scale = SIDE / max(picture.size)
        picture = picture.resize([max(1, round(side * scale)) for side in picture.size])
        cards[i].thumbnail = _data_uri(picture)
        cards[i].overlay = _data_uri(overlay(picture, grid, (low, high), OPACITY))
    return low, high


def _data_uri(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
