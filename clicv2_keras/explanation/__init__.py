"""Where an image's complexity is, and what the model looked at."""

# The saliency methods by name, here so that the command line knows them without loading anything.
METHODS = {"smoothgrad": "SmoothGrad", "gradcam++": "GradCAM++", "layercam": "LayerCAM"}
