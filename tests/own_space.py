"""A search space and a method from outside the package: the proof of both interfaces."""

from __future__ import annotations

from torch import nn

from snas_tune.space.choices import Choice
from snas_tune.space.space import Space
from snas_tune.space.supernet import Supernet


def convolution(channels: int, option: str) -> nn.Module:
    kernel = int(option[-1])
    layer = nn.Conv2d(channels, 8, kernel, stride=2, padding=kernel // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(8, affine=False), nn.ReLU())


class Tower(Supernet):
    """Each layer is the weighted sum of its options; with one option each it is the child."""

    def __init__(self, options, channels, classes):
        super().__init__()
        widths = [channels, *[8] * (len(options) - 1)]
        self.layers = nn.ModuleList(
            nn.ModuleDict({name: convolution(width, name) for name in names})
            for width, names in zip(widths, options, strict=True)
        )
        self.head = nn.Linear(8, classes)

    def forward(self, images, sample=None, keep=None, active=None):
        x = images
        for i, layer in enumerate(self.layers):
            weights = [1] if sample is None else sample[i]
            x = sum(w * option(x) for w, option in zip(weights, layer.values(), strict=False))
        return self.head(x.mean((2, 3)))

    def inherit(self, supernet):
        theirs = supernet.state_dict()
        self.load_state_dict({name: theirs[name] for name in self.state_dict()})


class TowerSpace(Space):
    name = "tower"

    def __init__(self, config, images):
        super().__init__(config, images)
        kernels = [("conv1", "conv3", "conv5"), ("conv1", "conv3")]
        self.choices = [Choice(f"layer{i}", names, "layers") for i, names in enumerate(kernels)]

    def supernet(self, implementation):
        options = [choice.options for choice in self.choices]
        return Tower(options, self.images.channels, self.images.classes)

    def child(self, architecture, *, affine=False):
        self.picks(architecture)  # refuses one of another space
        options = [(option,) for _, option in architecture.picks]
        return Tower(options, self.images.channels, self.images.classes)
