"""What `benchmarks/score.py` compares with: other networks in plain PyTorch, random weights, called as one would."""

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

MEAN, DEVIATION = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


class Block(nn.Module):
    """ResNet's basic block (arXiv 1512.03385)."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


def resnet18():
    """The trunk of a ResNet-18: (B, 3, H, W) -> (B, 512, H / 32, W / 32)."""
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    for inputs, outputs, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)):
        layers += [Block(inputs, outputs, stride), Block(outputs, outputs, 1)]
    return nn.Sequential(*layers)


class ICNet(nn.Module):
    """The shape of ICNet (T. Feng et al., "IC9600", TPAMI 2022): a branch for detail at 512 pixels, one for context at
    256, fused into a map and a score. Its attention modules are left out, so it is no slower than the original.
    """

    size = 512

    def __init__(self):
        super().__init__()
        self.detail, self.context = resnet18(), resnet18()
        self.fuse = nn.Sequential(nn.Conv2d(1024, 512, 3, 1, 1, bias=False), nn.BatchNorm2d(512), nn.ReLU())
        self.map = nn.Conv2d(512, 1, 1)
        self.score = nn.Linear(512, 1)

    def forward(self, x):
        detail = self.detail(x)
        context = self.context(F.interpolate(x, (256, 256), mode="bilinear", antialias=True))
        both = torch.cat([detail, F.interpolate(context, detail.shape[2:], mode="bilinear")], dim=1)
        fused = self.fuse(both)
        return self.score(fused.mean((2, 3))).sigmoid(), self.map(fused).sigmoid()


class ViTTiny(nn.Module):
    """ViT-Ti/16 at 224 pixels (arXiv 2012.12877) with one number a patch."""

    size = 224

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, 192, 16, 16)
        self.position = nn.Parameter(torch.zeros(1, 196, 192))
        block = nn.TransformerEncoderLayer(192, 3, 768, 0.0, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, 12, nn.LayerNorm(192), enable_nested_tensor=False)
        self.head = nn.Linear(192, 1)

    def forward(self, x):
        tokens = self.embed(x).flatten(2).transpose(1, 2) + self.position
        patches = self.head(self.blocks(tokens)).sigmoid()
        return patches.mean((1, 2)), patches


@torch.inference_mode()
def as_a_user_would(network, files, batch):
    """Score the files in batches, decoded by Pillow one after the other."""
    for first in range(0, len(files), batch):
        network(torch.stack([_input(file, network.size) for file in files[first : first + batch]]))


def _input(file, size):
    image = Image.open(file).convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    return (torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255 - MEAN) / DEVIATION
