"""How complex is an image? CLICv2 (arXiv 2503.06641) on Keras 3."""
