"""The saliency methods by name: plain text, so that the command line knows them without loading anything."""

METHODS = {"smoothgrad": "SmoothGrad", "gradcam++": "GradCAM++", "layercam": "LayerCAM"}
