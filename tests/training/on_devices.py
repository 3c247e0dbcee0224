"""A program: runs of the command line, one after the other, on a machine with several (virtual) devices.

Usage: python on_devices.py DEVICES JSON, the JSON a list of runs, each a list of arguments; KERAS_BACKEND says on what.
In place of a run ["copy", A, B] makes B the run folder A as a kill after its checkpoint of step 2 would leave it.
"""

import json
import os
import shutil
import sys

devices, runs = int(sys.argv[1]), json.loads(sys.argv[2])
if os.environ["KERAS_BACKEND"] == "jax":
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
else:
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)

from clicv2_keras.cli.main import main  # noqa: E402

for number, arguments in enumerate(runs):
    print(f"run {number}", flush=True)
    if arguments[0] == "copy":
        shutil.copytree(arguments[1], arguments[2])
        os.remove(f"{arguments[2]}/checkpoints/step_00000003.npz")
        continue
    try:
        main(arguments)
    except SystemExit as end:
        print(f"exit {end.code}", flush=True)
