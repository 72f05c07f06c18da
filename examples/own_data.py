"""A front for images of your own: any torch ``Dataset``, given as ``module:function``.

The command takes it, too: ``snas-tune sweep --data own_data:stripes``, in the folder of this file.
"""

from __future__ import annotations

import argparse
import sys

import torch
from torch import Tensor
from torch.utils.data import Dataset

from snas_tune import run_sweep, sweep_space
from snas_tune.sweep import SweepSettings


class Stripes(Dataset[tuple[Tensor, int]]):
    """Grey images with noisy stripes: upright, level or aslant."""

    classes = ("upright", "level", "aslant")

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        generator = torch.Generator().manual_seed(self.seed + index)
        label = index % len(self.classes)
        y, x = torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij")
        along = (x, y, 0.7 * (x + y))[label]
        waves = 0.5 + 0.5 * torch.sin(along * 1.6 + 6.28 * torch.rand(1, generator=generator))
        return (waves + 0.3 * torch.rand(12, 12, generator=generator)).clamp(0, 1), label


def stripes(train: bool) -> Stripes:
    """The images to search with, or the test images that ``snas-tune take`` measures with."""
    return Stripes(300, seed=0) if train else Stripes(60, seed=1_000_000)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="two trials of one epoch")
    trials, epochs = (2, 1) if parser.parse_args().smoke else (8, 9)
    result = run_sweep(
        sweep_space(data="own_data:stripes", cells=3, channels=8, nodes=2, epochs=epochs),
        SweepSettings(name="own-data", trials=trials),
    )
    print(result.front.table_text())
    sys.exit(result.exit_status)
