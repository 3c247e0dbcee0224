"""What people call the groups, predictors and contents that figures have as keys."""

from clicv2_keras.evaluation.predictors import MODEL, NO_MODEL, UNTRAINED

GROUP_NAMES = {MODEL: "this model", UNTRAINED: "the same encoder, untrained", NO_MODEL: "no model"}
PREDICTOR_NAMES = {
    "fitted": "fitted score",
    "label_free": "label-free score",
    "diversity": "diversity of the tokens (label-free)",
    "masked_entropy": "expected entropy of hidden patches (label-free)",
    "ridge": "ridge on tokens, their deviation and diversity",
    "ridge_mean_token": "ridge on the mean token",
    "ridge_per_category": "one ridge per category, on tokens, their deviation and diversity",
    "nearest_neighbors": "nearest neighbours by tokens, their deviation and diversity",
    "entropy_ridge": "ridge on patch entropy statistics",
    "handcrafted_ridge": "ridge on handcrafted measures",
    "mean_entropy": "mean patch entropy",
    "grey_entropy": "entropy of the grey levels",
    "jpeg_q10": "bytes per pixel as JPEG of quality 10",
    "jpeg_q50": "bytes per pixel as JPEG of quality 50",
    "jpeg_q75": "bytes per pixel as JPEG of quality 75",
    "png": "bytes per pixel as PNG",
    "edges": "edge density",
    "edges_after_blur": "edge density after blur",
    "gradient": "mean gradient",
    "category_mean": "mean of the category",
}
LABEL_FREE = ("label_free", "diversity", "masked_entropy")
_CONTENTS = {
    "category_accuracy": "a linear probe names an image's category, of {among}",
    "token_retrieval": "a token finds the other shifted view of its image, among {among} images",
}


def name(agreement):
    """What the predictor of an `Agreement` is called; one of the group `OTHER` says so itself."""
    return PREDICTOR_NAMES.get(agreement.predictor, agreement.predictor)


def label(agreement):
    """The predictor's name; what it is the mean of, or on which images it was judged where these are not all."""
    if agreement.spread is not None:
        return f"{name(agreement)} ({agreement.initialisations} seeds, SRCC ± {agreement.spread:.3f})"
    if not agreement.left_out:
        return name(agreement)
    total = len(agreement.images)
    if agreement.images.any():
        return f"{name(agreement)} ({agreement.images.sum()} of {total} images)"
    if agreement.left_out == total:
        return f"{name(agreement)}: fitted to these {total} images"
    return f"{name(agreement)}: fitted to {agreement.left_out} of these {total} images, too few are left"


def content_name(content):
    """What a `Content` counts: completes "how often"."""
    return _CONTENTS[content.key].format(among=content.among)
