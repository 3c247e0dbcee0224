"""The one place where a layer knows that its batch may be one device's share of a larger one.

It stands below the layers, which standardise and draw over the whole batch, and may not import the models. Under
`keras.distribution` on JAX a batch is the global one already; under TensorFlow's `MirroredStrategy` each replica
computes its own share, of the same size as the others', and knows the rest only through what is here.
"""

import keras
from keras import ops


def all_gather(x):
    """The rows of `x` of all replicas, with gradients, and where this replica's own begin among them."""
    context = _context()
    if context is None:
        return x, 0
    import tensorflow as tf

    # TensorFlow forgets the shape.
    rows = x.shape[0] and x.shape[0] * context.num_replicas_in_sync
    # Nor does it exchange bfloat16 between CPUs.
    half = keras.backend.standardize_dtype(x.dtype) == "bfloat16"
    gathered = context.all_gather(ops.cast(x, "float32") if half else x, axis=0)
    gathered = ops.cast(tf.ensure_shape(gathered, (rows, *x.shape[1:])), x.dtype)
    return gathered, context.replica_id_in_sync_group * ops.shape(x)[0]


def draw_local(draw, rows):
    """This replica's rows of `draw(rows of all replicas)`: what one device would draw for the same images.

    The replicas' seed generators move alike, so that all draw the same.
    """
    context = _context()
    if context is None:
        return draw(rows)
    first = context.replica_id_in_sync_group * rows
    return draw(rows * context.num_replicas_in_sync)[first : first + rows]


def moments(x, axes):
    """Mean and variance of float `x` over `axes`, which hold the batch of all replicas; the axes are kept, as 1."""
    mean, variance = ops.moments(x, axes=axes, keepdims=True)
    if _context() is None:
        return mean, variance
    # One exchange, and exact: of the replicas' own moments, not of sums of squares.
    each, _ = all_gather(ops.stack([mean, variance])[None])
    means, variances = each[:, 0], each[:, 1]
    return ops.mean(means, axis=0), ops.mean(variances, axis=0) + ops.var(means, axis=0)


def scale_loss(loss):
    """What this replica's mean `loss` adds to the mean over all: their gradients are summed."""
    context = _context()
    return loss if context is None else loss / context.num_replicas_in_sync


def _context():
    """TensorFlow's replica context where there are several replicas, else None."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None
