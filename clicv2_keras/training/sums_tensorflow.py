import contextlib

from tensorflow.core.protobuf.config_pb2 import ConfigProto
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig
from tensorflow.python.eager import context


@contextlib.contextmanager
def sums_in_order():
    """Context in which TensorFlow first runs the functions that are to repeat bit by bit, with any number of threads.

    Where the tensors of a function take more than 205 MB on a CPU, TensorFlow's memory optimizer makes of the sum of
    three or more gradients additions to one buffer that run in whatever order threads get to them: each order rounds
    in its own way. No public switch turns off that optimizer alone, and without all of them a step takes a third more
    of the processor.
    """
    eager = context.context()
    before = eager.function_call_options
    config = ConfigProto.FromString(before.config_proto_serialized)
    config.graph_options.rewrite_options.memory_optimization = RewriterConfig.NO_MEM_OPT
    eager.function_call_options = context.FunctionCallOptions(before.executor_type, config)
    try:
        yield
    finally:
        eager.function_call_options = before
