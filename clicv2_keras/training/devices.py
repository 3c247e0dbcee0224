"""The devices that a run computes on. Import only once the backend is chosen."""

import contextlib
import os

import keras

from clicv2_keras.recipe.shapes import mask_ratios
from clicv2_keras.utils.errors import UserError


class Devices:
    """One device, or several that compute a share of each batch each, in this process or in several.

    JAX takes `keras.distribution.DataParallel`, TensorFlow `tf.distribute.MirroredStrategy`. Keras 3 has no data
    parallelism for PyTorch that `fit` could use.

    `count` is that of all processes together, `process` the number of this one among `processes`. `copies` says how
    many times a metric counts a batch.

    Args:
        recipe: the `Recipe`. With `distribution.processes`, connects to the others, and waits for them for 5 minutes.

    Raises:
        UserError: where the backend or this machine cannot, or the devices cannot share a batch evenly.
    """

    def __init__(self, recipe):
        self.backend = keras.backend.backend()
        self.count = self.processes = self.copies = 1
        self.process = 0
        self._strategy = None
        wanted = recipe.distribution
        check_backend(recipe, self.backend)
        if wanted.strategy == "none":
            return
        if wanted.processes > 1:
            self._connect(recipe)
        names = self._names()
        if wanted.devices is not None and wanted.devices > len(names):
            raise UserError(
                f"distribution.devices: {wanted.devices} of {len(names)} that {self.backend} has here; "
                "take fewer, or null for all"
            )
        names = names[: wanted.devices]
        self.count = len(names)
        batch, accumulate = recipe.train.batch_size, recipe.train.accumulate
        parts = self.count * accumulate
        if batch % parts:
            micro = f" × {accumulate} micro-batches" if accumulate > 1 else ""
            near = max(batch // parts, 1) * parts
            raise UserError(f"train.batch_size: {batch} is not a multiple of {self.count} devices{micro}; take {near}")
        self._open(names, recipe)

    def building(self):
        """Context to make, load and compile the model in."""
        return contextlib.nullcontext() if self._strategy is None else self._strategy.scope()

    def fitting(self):
        """Context to call `fit` in. The model knows TensorFlow's strategy, which would also spread the data's."""
        if self.backend == "jax":
            return self.building()
        return _sums_in_order() if self.backend == "tensorflow" else contextlib.nullcontext()

    def largest(self, number):
        """The largest of the integers that the processes give; each must call it."""
        if self.processes == 1:
            return number
        import numpy as np
        from jax.experimental import multihost_utils

        return int(np.max(multihost_utils.process_allgather(np.int32(number))))

    def __str__(self):
        processes = f" in {self.processes} processes" if self.processes > 1 else ""
        return f"{self.backend}, {self.count} devices{processes}" if self.count > 1 else self.backend

    def _connect(self, recipe):
        """Join the other processes; who is who is told by the environment."""
        self.processes = recipe.distribution.processes
        # Keras would else agree on a random seed, with a computation of its own.
        keras.utils.set_random_seed(recipe.seed)
        slurm = "SLURM_NTASKS" in os.environ and "KERAS_DISTRIBUTION_JOB_ADDRESSES" not in os.environ
        try:
            if slurm and int(os.environ["SLURM_NTASKS"]) != self.processes:
                raise ValueError(f"SLURM runs {os.environ['SLURM_NTASKS']}")
            keras.distribution.initialize(num_processes=None if slurm else self.processes)
            import jax

            self.process = jax.process_index()
        except (ValueError, TypeError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0].rstrip(".")
            raise UserError(
                f"distribution.processes: cannot join {self.processes} processes: {reason}; each needs "
                "KERAS_DISTRIBUTION_JOB_ADDRESSES=HOST:PORT of process 0 and KERAS_DISTRIBUTION_PROCESS_ID, or srun"
            ) from None

    def _names(self):
        if self.backend == "jax":
            return keras.distribution.list_devices()
        import tensorflow as tf

        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return [device.name for device in devices]

    def _open(self, names, recipe):
        if self.backend == "jax":
            # The pipeline reads this process's share itself.
            self._strategy = keras.distribution.DataParallel(devices=names, auto_shard_dataset=False)
            return
        import tensorflow as tf

        ratios, share = len(mask_ratios(recipe.entropy.mask_ratio)), recipe.train.batch_size // self.count
        if recipe.entropy.weight and self.count > 1 and share % ratios:
            # Each device deals its share out by itself: the ratios would get other images than on one device.
            near = max(share // ratios, 1) * ratios * self.count
            raise UserError(
                f"entropy.mask_ratio: {ratios} ratios do not divide the {share} images of a device; take "
                f"train.batch_size {near}, or add --backend jax"
            )
        self._strategy = tf.distribute.MirroredStrategy(names)
        self.copies = self.count


def check_backend(recipe, backend):
    """See that a recipe asks of a backend nothing that it cannot, whatever devices there are.

    Raises:
        UserError: where it does.
    """
    several = recipe.distribution.strategy != "none"
    if backend == "torch" and recipe.train.jit == "always":
        raise UserError("train.jit: always: no step is compiled on torch; take true, or another backend")
    if backend == "torch" and several:
        raise UserError("distribution.strategy: data_parallel runs on jax and tensorflow, not on torch; take jax")
    if backend == "tensorflow" and several and recipe.train.accumulate > 1:
        # Not on one device either: it is a replica, whose updates are merged.
        raise UserError("train.accumulate: TensorFlow cannot, with data_parallel; take 1, or add --backend jax")
    if backend != "jax" and several and recipe.distribution.processes > 1:
        raise UserError(f"distribution.processes: several run on jax, not on {backend}; add --backend jax")


@contextlib.contextmanager
def _sums_in_order():
    """Context in which TensorFlow first runs the functions that are to repeat bit by bit, with any number of threads.

    Where the tensors of a function take more than 205 MB on a CPU, TensorFlow's memory optimizer makes of the sum of
    three or more gradients additions to one buffer that run in whatever order threads get to them: each order rounds
    in its own way. No public switch turns off that optimizer alone, and without all of them a step takes a third more
    of the processor.
    """
    from tensorflow.core.protobuf.config_pb2 import ConfigProto
    from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig
    from tensorflow.python.eager import context

    eager = context.context()
    before = eager.function_call_options
    config = ConfigProto.FromString(before.config_proto_serialized)
    config.graph_options.rewrite_options.memory_optimization = RewriterConfig.NO_MEM_OPT
    eager.function_call_options = context.FunctionCallOptions(before.executor_type, config)
    try:
        yield
    finally:
        eager.function_call_options = before
