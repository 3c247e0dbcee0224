"""The parts of a step, each compiled by itself under TensorFlow and XLA: `train_step.py` calls this."""

import json
import os
import sys
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
from train_step_arm import images

from clicv2_keras.layers import patchify
from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.training.build import build_model


def main(overrides):
    recipe = load_recipe("quickstart", overrides)
    model, batch = build_model(recipe), {name: tf.constant(image) for name, image in images(recipe).items()}
    clocks = {name: clock(part) for name, part in parts_of(model, batch).items()}
    print("| TensorFlow, XLA, float32 | wall ms, lowest | CPU ms, lowest |\n| --- | --- | --- |")
    for name, (wall, cpu) in clocks.items():
        print(f"| {name} | {1000 * wall:.1f} | {1000 * cpu:.1f} |")


def parts_of(model, batch):
    contrast, entropy, encoder = model.contrast, model.entropy, model.encoder
    views = [batch["view_a"], batch["view_b"]]

    def shift():
        return tf.concat([contrast.shift(view, training=True) for view in views], 0)

    patches, masks = shift(), entropy.masking(batch["image"])
    tokens = tf.random.normal((len(patches), patches.shape[1], encoder.width))
    positions = tf.range(contrast.tokens)
    read = tf.gather(tokens, positions, axis=1)
    gradients = [tf.random.normal(v.shape, stddev=1e-6) for v in model.trainable_variables]

    def gradient(loss, *layers):
        variables = [v for layer in layers for v in layer.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(read)
            value = loss()
        return tape.gradient(value, [read, *variables])

    def masked_loss():
        visible = encoder.encode(patchify(batch["image"], encoder.patch_size), keep=masks["keep"])
        return entropy.patch_loss(entropy.decoder(visible, masks["keep"], masks["masked"]), masks["targets"])

    def contrast_loss():
        return contrast._contrast(read, read, [])[0]

    return {
        "shifted windows of both views": shift,
        "student, forward and backward": lambda: gradient(
            lambda: tf.reduce_sum(encoder.encode(patches, read=positions) * read), encoder
        ),
        "teacher": lambda: contrast.teacher_encoder.encode(patches, read=positions),
        "heads and contrastive loss, forward and backward": lambda: gradient(
            contrast_loss, contrast.projector, contrast.predictor
        ),
        "entropy of the patches": lambda: entropy.masking.entropy(batch["image"]),
        "mask, with the entropy": lambda: entropy.masking(batch["image"]),
        "masked pass and decoder, forward and backward": lambda: gradient(masked_loss, encoder, entropy),
        "optimizer": lambda: model.optimizer.apply(gradients, model.trainable_variables),
        "moving average": model.update_teacher,
        "the whole step": lambda: model.train_step((batch,)),
    }


def clock(part, rounds=15):
    """Lowest wall and CPU seconds."""
    compiled = tf.function(part, jit_compile=True)
    compiled()
    times = []
    for _ in range(rounds):
        start = time.perf_counter(), time.process_time()
        compiled()
        times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return [min(values) for values in zip(*times, strict=True)]


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
