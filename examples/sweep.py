"""A sweep over penalty strength and temperature schedule that ends in a Pareto front.

python examples/sweep.py                                   # digits, shipped with the package
python examples/sweep.py --data cifar10 --preset small
python examples/sweep.py --data path/to/class/folders --image-size 32
python examples/sweep.py --data my_module:my_dataset --preset paper --gpus-per-trial 0.5
python examples/sweep.py ... --resume                      # go on after an interruption
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from snas_tune import run_sweep, search_space
from snas_tune.sweep.run import write_pictures

PRESETS = {
    "demo": {"cells": 3, "channels": 8, "nodes": 2, "epochs": 12, "channels_last": True},
    "small": {
        "cells": 5, "channels": 8, "nodes": 3, "epochs": 30, "channels_last": True,
        "crop_padding": 2, "limit_images": 10_000,
    },
    "paper": {"cells": 8, "channels": 16, "nodes": 4, "epochs": 150, "crop_padding": 4,
              "drop_path": 0.3},
}  # fmt: skip
"""Sizes of a search: minutes on two cores, hours on a workstation, days on GPUs."""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", default="digits", help="digits, cifar10, cifar100, fashion-mnist, a folder or "
        "archive of class folders, or module:function (default: %(default)s)")  # fmt: skip
    add("--data-root", default="data", help="where named data sets lie or are downloaded to")
    add("--image-size", type=int, help="side in pixels (default: the source's own)")
    add("--flip", action="store_true", help="mirror images (not for digits or text)")
    add("--preset", choices=PRESETS, default="demo", help="size of a search: %(choices)s")
    add("--epochs", type=int, help="length of a search (default: the preset's)")
    add("--trials", type=int, default=12, help="searches in all (default: %(default)s)")
    add("--penalty", type=float, nargs=2, default=(0.03, 60.0), metavar=("LOW", "HIGH"),
        help="range of the penalty strength in nats (default: %(default)s)")  # fmt: skip
    add("--target-mflops", type=float, help="hold children to that many million multiply-adds")
    add("--searcher", choices=("tpe", "nsga2", "random"), default="tpe", help="of Optuna")
    add("--seed", type=int, default=0, help="fixes searcher and searches")
    add("--concurrent", type=int, help="searches at a time (default: as many as the CPUs allow)")
    add("--cpus-per-trial", type=float, default=1)
    add("--gpus-per-trial", type=float, default=0, help="a fraction shares a GPU")
    add("--address", help="of a Ray cluster, such as auto (default: this machine)")
    add("--results", default="results", help="folder or URI for everything that is written")
    add("--name", default=None, help="of the experiment (default: from the data)")
    add("--resume", action="store_true", help="go on with the experiment of that name")
    return parser.parse_args()


def main() -> int:
    """Run the sweep; the exit status is 1 if a trial failed and 2 if an input is wrong."""
    args = arguments()
    settings = dict(PRESETS[args.preset])
    if args.epochs is not None:
        settings["epochs"] = args.epochs
    if args.target_mflops is not None:
        settings["target_flops"] = args.target_mflops * 1e6
    named = args.data.replace("/", "_").replace(":", "_").strip("._")
    name = args.name or f"{named}-{args.preset}-seed{args.seed}"
    try:
        space = search_space(
            penalty=tuple(args.penalty),
            data=args.data,
            data_root=str(Path(args.data_root).expanduser().resolve()),
            data_cache=str(Path(args.data_root, "cache").expanduser().resolve()),
            image_size=args.image_size,
            flip=args.flip,
            seed=args.seed,
            **settings,
        )
        result = run_sweep(
            space,
            name=name,
            storage_path=args.results,
            trials=args.trials,
            concurrent=args.concurrent,
            cpus_per_trial=args.cpus_per_trial,
            gpus_per_trial=args.gpus_per_trial,
            searcher=args.searcher,
            seed=args.seed,
            resume=args.resume,
            address=args.address,
        )
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(result.front.table_text())
    local = result.path if "://" not in result.path else name
    write_pictures(result, f"{local}/pictures")
    counts = f"{len(result.front)} children, {len(result.front.front)} on the front"
    print(f"""
front file    {result.path}/front.parquet ({counts})
pictures      {local}/pictures/front.svg and {local}/pictures/cells/
TensorBoard   tensorboard --logdir {result.path}/tensorboard
take a cell   python examples/take_cell.py {result.path} --max-mflops 1""")  # fmt: skip
    for trial, reason in result.failed.items():
        print(f"failed: {trial}: {reason}", file=sys.stderr)
    if result.failed:
        print(f"{len(result.failed)} of {args.trials} trials failed; the others' results are "
              "whole", file=sys.stderr)  # fmt: skip
    return 1 if result.failed else 0


if __name__ == "__main__":
    sys.exit(main())
