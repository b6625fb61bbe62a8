"""Training for `whole_fer2013.py`: on one device, including images and augmentation."""

import dataclasses
import math
import time

import numpy as np
import torch
from torch.nn import functional

WARM_STEPS = 3  # before a step is recorded
TIMED_STEPS = 10
CHUNK = 512  # images predicted at once
N_REFITTED = 256  # images for refitting BatchNormalization's statistics


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained; the defaults are `PAttLiteClassifier(recipe="modern")`."""

    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 1e-3
    schedule: str = "cosine"  # changes once per epoch, as in the library; or "steps"
    warmup_epochs: float | None = None  # None: a tenth of the epochs
    weight_decay: float = 0.0
    clipnorm: float = 3.0
    smoothing: float = 0.1
    dropout: float = 0.1
    balanced: bool = True  # class weights
    affine: bool = True  # turns, shifts, zooms and contrast
    crops: bool = False  # of 0.8 to 1 of the image, as in RandomResizedCrop
    erasing: float = 0.0  # probability that a rectangle is erased
    # For a student: the temperature softens the targets, which have this share of the loss.
    temperature: float = 2.0
    taught_share: float = 0.5


class Training:
    """Trains a network on images that are already on its device.

    Parameters
    ----------
    network : Network
        Network to train, in place.
    recipe : Recipe
        How to train it.
    images, labels : Tensor
        uint8 (n, side, side), and int64 (n,).
    seed : int
        Seed of order, augmentation and dropout.
    teachers : list of Network, default=()
        Networks whose mean probabilities are targets in addition to the labels.
    """

    def __init__(self, network, recipe, images, labels, seed, teachers=()):
        self.network, self.recipe = network, recipe
        self.images, self.labels, self.teachers = images, labels, teachers
        self.device = images.device
        self.rng = np.random.default_rng(seed)
        torch.manual_seed(seed)
        self.n_steps = math.ceil(len(labels) / recipe.batch_size)
        self.weights = self._class_weights()
        self._refit()
        self.rows = torch.arange(recipe.batch_size, device=self.device) % len(labels)
        self.optimizer = self._make_optimizer()
        self.take_step = self._record() if self.device.type == "cuda" else self._take_step

    def _class_weights(self):
        n_classes = self.network.form.n_classes
        counts = torch.bincount(self.labels, minlength=n_classes).clamp(min=1)
        balanced = len(self.labels) / (n_classes * counts.float())
        return balanced if self.recipe.balanced else torch.ones_like(balanced)

    @torch.no_grad()
    def _refit(self):
        some = self.rng.permutation(len(self.images))[:N_REFITTED]
        x = resized(self.images[torch.tensor(some, device=self.device)], self._size)
        self.network.eval()(x, refit=True)

    @property
    def _size(self):
        return self.network.form.input_size

    def _make_optimizer(self):
        weights = list(self.network.weights.values())
        kernels = [w for w in weights if w.ndim > 1]
        others = [w for w in weights if w.ndim == 1]
        return torch.optim.AdamW(
            [
                {"params": kernels, "weight_decay": self.recipe.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=torch.zeros((), device=self.device),
            eps=1e-7,
            fused=True,
            capturable=self.device.type == "cuda",
        )

    def _take_step(self):
        recipe = self.recipe
        x = augmented(self.images[self.rows], self._size, recipe)
        y = self.labels[self.rows]
        with autocast(self.device):
            taught = [teacher(x) for teacher in self.teachers]
            logits = self.network(x, dropout=recipe.dropout).float()
        losses = functional.cross_entropy(
            logits, y, reduction="none", label_smoothing=recipe.smoothing
        )
        if taught:
            share = recipe.taught_share
            losses = (1 - share) * losses + share * taught_losses(
                logits, taught, recipe.temperature
            )
        (losses * self.weights[y]).mean().backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clipnorm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _record(self):
        """Record a step on a GPU, to replay it: kernels take longer to launch than to run."""
        self.network.train()
        before = {name: value.clone() for name, value in self.network.state_dict().items()}
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_STEPS):
                self._take_step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._take_step()
        self._put_back(before)
        self.graph = graph
        return graph.replay

    def _put_back(self, before):
        """Undo steps, in place: a recorded step refers to the tensors by their addresses."""
        self.network.load_state_dict(before)
        for state in self.optimizer.state.values():
            for value in state.values():
                value.zero_()

    def time_steps(self):
        """Estimate the seconds of all steps, by timing some at a learning rate of 0."""
        self.network.train()
        before = {name: value.clone() for name, value in self.network.state_dict().items()}
        n = TIMED_STEPS if self.device.type == "cuda" else 1
        self.take_step()
        synchronize(self.device)
        start = time.perf_counter()
        for _ in range(n):
            self.take_step()
        synchronize(self.device)
        seconds = (time.perf_counter() - start) / n
        self._put_back(before)
        return seconds * self.n_steps * self.recipe.epochs

    def run(self, watch=None):
        """Train; `watch` is called after each epoch with its number, counted from 1."""
        batch = self.recipe.batch_size
        for epoch in range(self.recipe.epochs):
            order = np.resize(self.rng.permutation(len(self.labels)), self.n_steps * batch)
            order = torch.tensor(order, device=self.device)
            self.network.train()
            for step in range(self.n_steps):
                self.rows.copy_(order[step * batch : (step + 1) * batch])
                for group in self.optimizer.param_groups:
                    group["lr"].fill_(self.rate_at(epoch, step))
                self.take_step()
            synchronize(self.device)
            if watch is not None:
                watch(epoch + 1)

    def rate_at(self, epoch, step):
        """Compute the learning rate of a step; epochs and steps count from 0."""
        recipe = self.recipe
        if recipe.schedule == "cosine":  # as in the library's `_cosine`
            n_rising = round(0.1 * recipe.epochs)
            if epoch < n_rising:
                return recipe.learning_rate * (epoch + 1) / (n_rising + 1)
            done = (epoch - n_rising) / (recipe.epochs - n_rising)
        else:
            n_done = epoch * self.n_steps + step
            n_rising = recipe.warmup_epochs * self.n_steps
            if n_done < n_rising:
                return recipe.learning_rate * (n_done + 1) / n_rising
            done = (n_done - n_rising) / (recipe.epochs * self.n_steps - n_rising)
        return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def taught_losses(logits, taught, temperature):
    """Compute the divergence of each image's softened probabilities from its teachers' mean."""
    soft = torch.stack([(t.float() / temperature).softmax(dim=-1) for t in taught]).mean(dim=0)
    log_q = (logits / temperature).log_softmax(dim=-1)
    divergence = (soft * (soft.clamp(min=1e-9).log() - log_q)).sum(dim=-1)
    return temperature**2 * divergence  # makes up for gradients that shrink with its square


@torch.no_grad()
def predict(network, images):
    """Predict probabilities (n, classes) of uint8 images, averaged with their mirror images."""
    network.eval()
    found = []
    for some in images.split(CHUNK):
        x = resized(some, network.form.input_size)
        both = [network(each).softmax(dim=-1) for each in (x, x.flip(-1))]
        found.append((both[0] + both[1]) / 2)
    return torch.cat(found).cpu().numpy()


def resized(images, size):
    """Enlarge images (n, side, side) bilinearly: (n, size, size), float32."""
    x = images[:, None].float()
    return functional.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)[:, 0]


def augmented(images, size, recipe):
    """Augment images (n, side, side), each in its own way: (n, size, size), float32.

    One affine map flips, turns, shifts, zooms, crops and resizes, so that pixels are interpolated
    once. The library's layers do this one after another.
    """
    n = len(images)

    def drawn(low=-1.0, high=1.0):
        return torch.rand(n, device=images.device) * (high - low) + low

    maps = affine_maps(drawn, recipe)  # n × 2 × 3
    grid = functional.affine_grid(maps, (n, 1, size, size), align_corners=False)
    x = functional.grid_sample(
        images[:, None].float(), grid, padding_mode="border", align_corners=False
    )[:, 0]
    if recipe.affine:
        mean = x.mean(dim=(1, 2), keepdim=True)
        x = ((x - mean) * drawn(0.7, 1.3)[:, None, None] + mean).clamp(0, 255)
    return erased(x, drawn, recipe.erasing) if recipe.erasing else x


def affine_maps(drawn, recipe):
    """Draw maps (n, 2, 3) from positions in the result to positions in the image, in [-1, 1]."""
    width, height, column, row = drawn_crops(drawn, recipe.crops)
    width = width * torch.where(drawn() < 0, -1.0, 1.0)  # mirrors the image
    if not recipe.affine:
        zero = torch.zeros_like(width)
        return torch.stack([width, zero, column, zero, height, row], dim=-1).view(-1, 2, 3)
    angle, zoom = drawn() * (2 * math.pi * 10 / 360), drawn(0.85, 1.1)
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    across, down = 0.16 * drawn(), 0.16 * drawn()  # 0.08 of a side, which is 2 long here
    rows = [
        *(cos * width, -sin * height, cos * column - sin * row + across),
        *(sin * width, cos * height, sin * column + cos * row + down),
    ]
    return torch.stack(rows, dim=-1).view(-1, 2, 3)


def drawn_crops(drawn, crops):
    """Draw crops: width and height as fractions of a side, and offsets from the centre."""
    if not crops:
        one, zero = torch.ones_like(drawn()), torch.zeros_like(drawn())
        return one, one, zero, zero
    area, ratio = drawn(0.8, 1.0), drawn(math.log(3 / 4), math.log(4 / 3)).exp()
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    return width, height, (1 - width) * drawn(), (1 - height) * drawn()


def erased(x, drawn, chance):
    """Turn a rectangle of 2 to 33 % of each image grey, with the given probability."""
    size = x.shape[-1]
    area, ratio = drawn(0.02, 0.33), drawn(math.log(0.3), math.log(3.3)).exp()
    height, width = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    top, left = (1 - height) * drawn(0.0), (1 - width) * drawn(0.0)
    place = (torch.arange(size, device=x.device) + 0.5) / size
    rows = (place >= top[:, None]) & (place < (top + height)[:, None])
    columns = (place >= left[:, None]) & (place < (left + width)[:, None])
    hole = rows[:, :, None] & columns[:, None, :] & (drawn(0.0) < chance)[:, None, None]
    return x.masked_fill(hole, 127.5)


def autocast(device):
    """Compute in bfloat16 on a GPU."""
    return torch.autocast(
        device.type, torch.bfloat16, enabled=device.type == "cuda", cache_enabled=False
    )


def synchronize(device):
    """Wait until a GPU has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize()
