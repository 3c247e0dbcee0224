"""XLA for all of a TensorFlow step but its products: what makes a step on a CPU cheaper, in bfloat16 as in float32."""

import contextlib

import tensorflow as tf

# What XLA makes one loop of. Products and convolutions are oneDNN's, which has them in bfloat16; XLA on a CPU has not.
FUSED = frozenset(
    """
    Abs Add AddN AddV2 All Any BiasAdd BiasAddGrad BroadcastGradientArgs BroadcastTo Cast ClipByValue ConcatV2 Const
    Div DivNoNan Equal Erf Exp ExpandDims Expm1 Fill Floor FloorDiv FloorMod Greater GreaterEqual Identity Less
    LessEqual Log Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr Max Maximum Mean Min Minimum Mul Neg NotEqual
    OnesLike Pack Pow PreventGradient Prod Range RealDiv Reciprocal Relu ReluGrad Reshape Round Rsqrt RsqrtGrad
    Select SelectV2 Shape Sigmoid SigmoidGrad Sign Slice Softmax Split SplitV Sqrt SqrtGrad Square SquaredDifference
    Squeeze StopGradient StridedSlice Sub Sum Tanh TanhGrad Tile Transpose Unpack ZerosLike
    """.split()
)


@contextlib.contextmanager
def elementwise_jit(model):
    """Context to trace a step of `model` in. What it holds of these operations is compiled, neighbours together.

    What only moves weights, the optimizer and `update_teacher`, is one program each: by weights they would be some
    hundred. Not where there are several devices, whose sums XLA does not make on a CPU.
    """
    moves = [(model.optimizer, "apply"), (model, "update_teacher")]
    with contextlib.ExitStack() as stack:
        if not tf.distribute.has_strategy():
            for owner, name in moves:
                stack.enter_context(_as_one_program(owner, name))
        stack.enter_context(tf.xla.experimental.jit_scope(lambda node: node.op in FUSED))
        yield


@contextlib.contextmanager
def _as_one_program(owner, name):
    """A method of which only the first argument, where it has one, holds tensors."""
    method = getattr(owner, name)

    def compiled(*arguments):
        tensors, others = arguments[:1], arguments[1:]

        def program(*tensors):
            method(*tensors, *others)

        tf.function(program, jit_compile=True, autograph=False)(*tensors)

    setattr(owner, name, compiled)
    try:
        yield
    finally:
        delattr(owner, name)
