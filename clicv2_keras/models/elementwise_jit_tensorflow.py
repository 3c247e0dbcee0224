"""XLA for all of a TensorFlow step but its products: what makes a step on a CPU cheaper, in bfloat16 as in float32."""

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


def elementwise_jit():
    """Context to trace a step in; what it holds of these operations is compiled, neighbours together."""
    return tf.xla.experimental.jit_scope(lambda node: node.op in FUSED)
