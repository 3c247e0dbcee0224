"""The CLICv2 step as one would write it in plain PyTorch: the rival of `train_step.py`.

Both views in one batch, `scaled_dot_product_attention`, the teacher without a graph, hidden patches dropped before the
encoder, fused AdamW, the moving average by `_foreach_lerp_`, bfloat16 by autocast or of the whole forward pass. It
covers what the default recipe does: patches shifted each by itself, negatives at the same position.
"""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from clicv2_keras.recipe.shapes import decoder_heads, kept_patches, projector_hidden

LUMA = (77, 150, 29)


class Block(nn.Module):
    # Slow on a CPU in bfloat16: whoever profiles that writes the two products instead.
    attend = staticmethod(F.scaled_dot_product_attention)

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width, eps=1e-6)
        self.mlp_in = nn.Linear(width, 4 * width)
        self.mlp_out = nn.Linear(4 * width, width)

    def forward(self, x):
        batch, length, width = x.shape
        heads = self.qkv(self.attention_norm(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = self.attend(*heads).transpose(1, 2).reshape(batch, length, width)
        x = x + self.projection(attended)
        return x + self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(x)), approximate="tanh"))


class Encoder(nn.Module):
    def __init__(self, grid, patch, width, depth, heads, gain):
        super().__init__()
        self.gain = gain
        self.patch_projection = nn.Linear(3 * patch**2, width)
        self.patch_projection.requires_grad_(False)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.register_buffer("positions", sincos(grid, width), persistent=False)

    def forward(self, patches, keep=None):
        """Tokens of uint8 patches (B, N, P², 3), or of those kept alone."""
        positions = self.positions
        if keep is not None:
            patches, positions = patches[rows_of(keep), keep], positions[keep]
        pixels = patches.to(positions.dtype) / 127.5 - 1
        mean = pixels.mean(2, keepdim=True)
        x = self.patch_projection((mean + self.gain * (pixels - mean)).flatten(2)) + positions
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Head(nn.Module):
    """Dense, standardised over batch and tokens, ReLU; the last one dense and standardised."""

    def __init__(self, depth, inputs, hidden, output):
        super().__init__()
        widths = [inputs] + [hidden] * (depth - 1) + [output]
        self.dense = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in zip(widths, widths[1:], strict=False))
        self.norms = nn.ModuleList(
            nn.BatchNorm1d(b, affine=i < depth - 1, track_running_stats=False) for i, b in enumerate(widths[1:])
        )

    def forward(self, x):
        shape, x = x.shape[:2], x.flatten(0, 1)
        for dense, norm in zip(self.dense[:-1], self.norms[:-1], strict=True):
            x = F.relu(norm(dense(x)))
        return self.norms[-1](self.dense[-1](x)).unflatten(0, shape)


class Decoder(nn.Module):
    def __init__(self, grid, inputs, width, depth):
        super().__init__()
        self.mask_token = nn.Parameter(0.02 * torch.randn(width))
        self.embed = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(Block(width, decoder_heads(width)) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, 1)
        self.register_buffer("positions", sincos(grid, width), persistent=False)

    def forward(self, visible, keep, masked):
        seen = self.embed(visible) + self.positions[keep]
        x = torch.cat([self.mask_token + self.positions[masked], seen], 1)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x[:, : masked.shape[1]]))[..., 0]


class Student(nn.Module):
    def __init__(self, grid, patch, width, depth, heads, gain, hidden, output, decoder_width, decoder_depth):
        super().__init__()
        self.encoder = Encoder(grid, patch, width, depth, heads, gain)
        self.projector = Head(3, width, hidden, output)
        self.predictor = Head(2, output, hidden, output)
        self.decoder = Decoder(grid, width, decoder_width, decoder_depth)


class Teacher(nn.Module):
    def __init__(self, student):
        super().__init__()
        self.encoder = copy.deepcopy(student.encoder)
        self.projector = copy.deepcopy(student.projector)


class Reference:
    """The step of a recipe (`clicv2_keras.train.Recipe`), compiled or not.

    Args:
        half: None, `"autocast"`, or `"whole"`: all weights cast to bfloat16 for the forward pass.
        products: attention by two products and a softmax in place of `scaled_dot_product_attention`.
    """

    def __init__(self, recipe, device="cpu", compiled=False, half=None, products=False):
        if products:
            Block.attend = staticmethod(attention)
        shape, contrast, entropy = recipe.encoder.shape(), recipe.contrast, recipe.entropy
        self.patch, self.device, self.half = shape["patch_size"], device, half
        self.grid = (recipe.data.image_size // self.patch,) * 2
        count = self.grid[0] * self.grid[1]
        self.kept = kept_patches(count, entropy.mask_ratio)
        self.tokens, self.temperature, self.momentum = contrast.tokens, contrast.temperature, contrast.momentum
        self.max_shift, self.weight = contrast.max_shift or self.patch // 2, entropy.weight
        width = shape["width"]
        self.student = Student(
            self.grid,
            self.patch,
            width,
            shape["depth"],
            shape["num_heads"],
            recipe.encoder.detail_gain,
            projector_hidden(width, contrast.projector_hidden),
            contrast.projection_dim,
            entropy.decoder_width,
            entropy.decoder_depth,
        ).to(device)
        self.teacher = Teacher(self.student).to(device).requires_grad_(False)
        self.statistics = torch.zeros(3, device=device)
        trained = [p for p in self.student.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": recipe.optimizer.weight_decay},
            {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
        ]
        betas = (0.9, recipe.optimizer.beta_2)
        self.optimizer = torch.optim.AdamW(groups, recipe.optimizer.learning_rate, betas, fused=True)
        pairs = [(self.teacher.encoder, self.student.encoder), (self.teacher.projector, self.student.projector)]
        self.teachers = [p for teacher, _ in pairs for p in teacher.parameters()]
        self.students = [p for _, student in pairs for p in student.parameters()]
        self.forward = torch.compile(self.loss, dynamic=False) if compiled else self.loss

    def step(self, image, view_a, view_b):
        """One step on uint8 images (B, S, S, 3); returns the loss."""
        with torch.autocast(self.device, torch.bfloat16, enabled=self.half == "autocast"):
            loss = self.forward(image, view_a, view_b, *self.draw(len(image)))
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            torch._foreach_lerp_(self.teachers, self.students, 1 - self.momentum)
        return loss.detach()

    def draw(self, batch):
        """Offsets (2, B, N, 2) of the patches, positions (n,) to contrast, and patches in the order they are kept."""
        count, options = self.grid[0] * self.grid[1], {"device": self.device}
        directions = torch.tensor([(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x], **options)
        drawn = directions[torch.randint(8, (2, batch, count), **options)]
        offsets = drawn * torch.randint(1, self.max_shift + 1, (2, batch, count, 1), **options)
        positions = torch.randperm(count, **options)[: self.tokens]
        return offsets, positions, torch.rand(batch, count, **options).argsort(1)

    def loss(self, image, view_a, view_b, offsets, positions, order):
        if self.half != "whole":
            return self._loss(self.student, self.teacher, image, view_a, view_b, offsets, positions, order)
        student, teacher = (Cast(module) for module in (self.student, self.teacher))
        return self._loss(student, teacher, image, view_a, view_b, offsets, positions, order)

    def _loss(self, student, teacher, image, view_a, view_b, offsets, positions, order):
        keep, masked = order[:, : self.kept].sort(1).values, order[:, self.kept :].sort(1).values
        visible = student.encoder(cut(image, self.patch), keep)
        predicted = student.decoder(visible, keep, masked).float()
        entropy = patch_entropy(cut(image, self.patch)).gather(1, masked)
        loss = self.weight * F.mse_loss(predicted, self.standardize(entropy))

        views = torch.cat([view_a, view_b])
        patches = shifted(views, offsets.flatten(0, 1), self.patch, self.grid)
        queries = student.predictor(student.projector(student.encoder(patches)[:, positions]))
        with torch.no_grad():
            keys = teacher.projector(teacher.encoder(patches)[:, positions])
        queries = F.normalize(queries.float(), dim=-1).chunk(2)
        keys = F.normalize(keys.float(), dim=-1).chunk(2)
        return loss + self.contrast(queries[0], keys[1]) + self.contrast(queries[1], keys[0])

    def contrast(self, queries, keys):
        with torch.autocast(self.device, enabled=False):
            logits = queries.transpose(0, 1) @ keys.permute(1, 2, 0) / self.temperature
        own = torch.arange(queries.shape[0], device=logits.device).expand(logits.shape[:2])
        return 2 * self.temperature * F.cross_entropy(logits.flatten(0, 1), own.flatten())

    def standardize(self, targets):
        """By the running mean and deviation of the entropies."""
        mean, variance, updates = self.statistics.unbind()
        step = torch.clamp(1 / (updates + 1), min=0.01)
        now = torch.stack([targets.mean(), targets.var(correction=0)])
        moved = torch.stack([mean, variance]) + step * (now - torch.stack([mean, variance]))
        self.statistics.copy_(torch.cat([moved, updates[None] + 1]))
        return (targets - moved[0]) / moved[1].clamp(min=1e-6).sqrt()


class Cast:
    """The parts of a module with all their weights as bfloat16, the gradients going to the float32 ones."""

    def __init__(self, module):
        for name, part in module.named_children():
            setattr(self, name, self.call(part))

    @staticmethod
    def call(part):
        weights = {name: value.bfloat16() for name, value in [*part.named_parameters(), *part.named_buffers()]}
        return lambda *inputs: torch.func.functional_call(part, weights, inputs)


def attention(query, key, value):
    weights = (query * query.shape[-1] ** -0.5 @ key.transpose(2, 3)).softmax(-1)
    return weights @ value


def cut(images, patch):
    """Patches (B, N, P², 3) of images (B, H, W, 3)."""
    batch, height, width, _ = images.shape
    grid = images.view(batch, height // patch, patch, width // patch, patch, 3).transpose(2, 3)
    return grid.reshape(batch, -1, patch**2, 3)


def shifted(images, offsets, patch, grid):
    """Patches, each read at its own offset (B, N, 2), the image continued by reflection."""
    inside = torch.arange(patch, device=images.device)
    index = []
    for axis in range(2):
        start = torch.arange(grid[axis], device=images.device) * patch
        start = start.repeat_interleave(grid[1]) if axis == 0 else start.repeat(grid[0])
        last = grid[axis] * patch - 1
        index.append(last - (last - (start[:, None] + inside + offsets[..., axis, None]).abs()).abs())
    rows = torch.arange(len(images), device=images.device).view(-1, 1, 1, 1)
    return images[rows, index[0][..., :, None], index[1][..., None, :]].flatten(2, 3)


def patch_entropy(patches):
    """Entropy of the luma of each patch, as a share of 8 bits."""
    luma = (patches.int() * torch.tensor(LUMA, device=patches.device, dtype=torch.int32)).sum(-1) >> 8
    counts = torch.zeros(*luma.shape[:2], 256, device=luma.device)
    share = counts.scatter_add_(2, luma, torch.ones_like(luma, dtype=counts.dtype)) / luma.shape[2]
    return -(share * share.clamp(min=1e-6).log2()).sum(-1) / 8


def sincos(grid, width):
    frequency = 10000.0 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in grid), indexing="ij")
    angles = [axis.reshape(-1, 1) * frequency for axis in axes]
    return torch.cat([f(angle) for angle in angles for f in (torch.sin, torch.cos)], 1).float()


def rows_of(index):
    return torch.arange(len(index), device=index.device)[:, None]
