"""How many patches a mask leaves: plain numbers, so that a recipe's cost is counted without loading keras."""


def kept_patches(patches, mask_ratio):
    """The whole number nearest to `patches * (1 - mask_ratio)`; at least one patch is kept and one hidden."""
    # Not int(): in floats .2 of 100 is 19.999999999999996.
    return min(max(round(patches * (1 - mask_ratio)), 1), patches - 1)
