"""A candidate op of your own, searched among the others: a module that adds it to ``OPS``.

The command takes it, too, in the folder of this file:
``snas-tune sweep --set ops_module=own_module --set 'ops=[none, skip_connect, blur]'``.
"""

from __future__ import annotations

import argparse
import sys

from torch import nn

from snas_tune import run_sweep, sweep_space
from snas_tune.space.cell.ops import OPS, Op
from snas_tune.sweep import SweepSettings


def blur(channels: int, stride: int, affine: bool) -> nn.Module:
    """A depthwise convolution; its FLOPs and weights are counted from the module itself."""
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False),
        nn.BatchNorm2d(channels, affine=affine),
    )


OPS["blur"] = Op(blur)  # when this module is imported, which every trial does by its name


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="two trials of one epoch")
    trials, epochs = (2, 1) if parser.parse_args().smoke else (8, 9)
    result = run_sweep(
        sweep_space(
            ops=("none", "skip_connect", "sep_conv_3x3", "blur"),
            ops_module="own_module",
            cells=3,
            channels=8,
            nodes=2,
            epochs=epochs,
        ),
        SweepSettings(name="own-module", trials=trials),
    )
    print(result.front.table_text())
    sys.exit(result.exit_status)
