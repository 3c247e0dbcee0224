def set_trainable(layer, trainable):
    """Train a layer's weights, or freeze them, whatever it and each of those in it said before.

    `layer.trainable = …` alone does nothing on TensorFlow where the layer says so already, even if layers in it do not.
    """
    for each in layer._flatten_layers():
        each.trainable = trainable
