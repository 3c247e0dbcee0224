"""What TensorFlow and Keras take before a model is built, without what they import if it is there, in MB.

    python benchmarks/import_memory.py

An environment of `pip install '.[train]'` alone has no JAX, pandas, PyArrow or huggingface_hub; that of the tests has.
"""

import os
import subprocess
import sys
from importlib.abc import MetaPathFinder

LEFT_OUT = ((), ("jax",), ("jax", "pandas", "pyarrow", "huggingface_hub"))


class Missing(MetaPathFinder):
    """Packages as if they were not installed."""

    def __init__(self, names):
        self.names = names

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(name, name=name)


def resident(names):
    """MB of this process once both are imported and an operation has run."""
    sys.meta_path.insert(0, Missing(names))
    import tensorflow as tf

    tf.constant(1) + 1
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    if sys.argv[1:]:
        print(f"{resident(sys.argv[1].split()):6.0f}  without {sys.argv[1] or 'nothing'}")
    else:
        os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
        for names in LEFT_OUT:
            command = [sys.executable, __file__, " ".join(names)]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
