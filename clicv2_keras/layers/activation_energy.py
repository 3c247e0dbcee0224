from keras import ops

from clicv2_keras.layers.replicas import all_gather


def activation_energy(tokens):
    """The mean magnitude of each image's features, brought to [0, 1] within the batch.

    Of tokens (B, N, D), float32 (B,).

    The batch's least is 0 and its largest 1, those of all replicas; through these there is no gradient.
    """
    energy = ops.mean(ops.abs(ops.cast(tokens, "float32")), axis=(1, 2))
    everyone = ops.stop_gradient(all_gather(energy)[0])
    least, largest = ops.min(everyone), ops.max(everyone)
    return (energy - least) / ops.maximum(largest - least, 1e-6)
