import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageOps

interpreter = Interpreter(sys.argv[1], num_threads=4)
size = interpreter.get_input_details()[0]["shape"][1]
model = interpreter.get_signature_runner("serving_default")


def network_input(file):
    with Image.open(file) as image:
        image = ImageOps.exif_transpose(image)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)[None]


for file in sys.argv[2:]:
    outputs = model(image=network_input(file))
    print(f"{outputs['score'][0]:.6f}  {file}")
    print(outputs["map"][0].round(2))
