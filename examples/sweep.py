"""A sweep over penalty strength and temperature schedule that ends in a Pareto front.

python examples/sweep.py                                   # digits, shipped with the package
python examples/sweep.py --data cifar10 --preset small
python examples/sweep.py --data path/to/class/folders --image-size 32
python examples/sweep.py --data my_module:my_dataset --preset paper --gpus-per-trial 0.5
python examples/sweep.py --address auto --results s3://bucket/sweeps ...   # on a cluster's head
python examples/sweep.py ... --resume                      # go on after an interruption

The exit status is 0, or 1 if a trial failed, 2 if an input is wrong, 130 if it was interrupted.
"""

from __future__ import annotations

import argparse
import math
import sys
from typing import Any

from snas_tune import run_sweep, sweep_space
from snas_tune.config import PRECISIONS, SAMPLINGS, SUPERNETS
from snas_tune.front.storage import join
from snas_tune.stopping import RULES
from snas_tune.sweep import SweepResult, write_pictures
from snas_tune.sweep.experiment import new_name, newest_name
from snas_tune.sweep.prepare import absolute_storage
from snas_tune.sweep.searcher import SEARCHERS

PRESETS = {
    "demo": {"cells": 3, "channels": 8, "nodes": 3, "epochs": 12, "channels_last": True},
    "small": {
        "cells": 5,
        "channels": 8,
        "nodes": 3,
        "epochs": 30,
        "channels_last": True,
        "crop_padding": 2,
        "limit_images": 10_000,
    },
    "paper": {
        "cells": 8,
        "channels": 16,
        "nodes": 4,
        "epochs": 150,
        "crop_padding": 4,
        "drop_path": 0.3,
    },
}
"""Sizes of a search: minutes on two cores, hours on a workstation, days on GPUs."""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--data",
        default="digits",
        help="digits, cifar10, cifar100, fashion-mnist, a folder or "
        "archive of class folders, or module:function (default: %(default)s)",
    )
    add("--data-root", default="data", help="where named data sets lie or are downloaded to")
    add("--image-size", type=int, help="side in pixels (default: the source's own)")
    add("--flip", action="store_true", help="mirror images (not for digits or text)")
    add("--preset", choices=PRESETS, default="demo", help="size of a search: %(choices)s")
    add("--epochs", type=int, help="length of a search (default: the preset's)")
    add("--batch-size", type=int, help="images per step (default: the preset's, else 64)")
    add(
        "--partial-channels",
        type=int,
        default=1,
        help="one channel in so many goes through the "
        "ops of an edge (PC-DARTS: 4; default: %(default)s, all)",
    )
    add(
        "--supernet",
        choices=SUPERNETS,
        default="auto",
        help="how it is computed; auto is what "
        "is measured to be the fastest here (default: %(default)s)",
    )
    add(
        "--sampling",
        choices=SAMPLINGS,
        default="concrete",
        help="concrete runs every op, gdas "
        "and dsnas one of each edge, top_k two (default: %(default)s)",
    )
    add("--precision", choices=PRECISIONS, default="float32", help="default: %(default)s")
    add("--trials", type=int, default=14, help="searches in all (default: %(default)s)")
    add(
        "--penalty",
        type=float,
        nargs=2,
        default=(0.03, 60.0),
        metavar=("LOW", "HIGH"),
        help="range of the penalty strength in nats (default: %(default)s)",
    )
    add("--target-mflops", type=float, help="hold children to that many million multiply-adds")
    add(
        "--searcher",
        choices=SEARCHERS,
        default="pareto",
        help="pareto proposes where the front "
        "is thin, the others are Optuna's samplers alone (default: %(default)s)",
    )
    add(
        "--rule",
        choices=RULES,
        default="pareto",
        help="which trials go on at the rungs; fifo runs all to their end (default: %(default)s)",
    )
    add("--grace-period", type=int, help="epochs to the first rung (default: a ninth of a search)")
    add("--reduction-factor", type=float, default=3.0, help="between the epochs of two rungs")
    add("--seed", type=int, default=0, help="fixes searcher and searches")
    add(
        "--concurrent",
        type=int,
        help="searches at a time (default: as many as there is room for "
        "now; must be given where all nodes are still to start)",
    )
    add("--cpus-per-trial", type=float, default=1)
    add("--gpus-per-trial", type=float, default=0, help="a fraction shares a GPU")
    add(
        "--max-failures",
        type=int,
        default=1,
        help="how often a trial whose process or node died "
        "is tried again, from its last checkpoint (default: %(default)s; spot: 5)",
    )
    add(
        "--checkpoint-every",
        type=int,
        default=1,
        help="epochs between checkpoints, which is what a lost node costs (default: %(default)s)",
    )
    add(
        "--keep-checkpoints",
        type=int,
        help="the last ones of each trial that are kept; a child "
        "whose checkpoint is gone stays in the front file (default: all)",
    )
    add("--address", help="of a Ray cluster, such as auto (default: this machine)")
    add("--nodes", type=int, default=1, help="of the cluster, the head among them, to wait for")
    add("--results", default="results", help="folder or URI for everything that is written")
    add(
        "--name",
        default=None,
        help="of the experiment (default: from data, preset and seed, with "
        "-2, -3 and so on if there is one already)",
    )
    add(
        "--resume",
        action="store_true",
        help="go on with the experiment of that name, by default "
        "the newest one of the same data, preset and seed; all else must be as it was",
    )
    return parser.parse_args()


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """The preset, with what the command line says in its place."""
    given = {
        "epochs": args.epochs,
        "batch_size": args.batch_size,
        "target_flops": None if args.target_mflops is None else args.target_mflops * 1e6,
    }
    return {
        **PRESETS[args.preset],
        **{name: value for name, value in given.items() if value is not None},
        "data": args.data,
        "data_root": args.data_root,
        "data_cache": f"{args.data_root}/cache",
        "image_size": args.image_size,
        "flip": args.flip,
        "partial_channels": args.partial_channels,
        "supernet": args.supernet,
        "sampling": args.sampling,
        "precision": args.precision,
        "seed": args.seed,
    }


def name_of(args: argparse.Namespace) -> str:
    """The name that was asked for, or one that is free, or of the newest for ``--resume``."""
    if args.name is not None:
        return str(args.name)
    data = args.data.replace("/", "_").replace(":", "_").strip("._") or "data"
    base = f"{data}-{args.preset}-seed{args.seed}"
    choose = newest_name if args.resume else new_name
    return choose(absolute_storage(args.results), base)


def main() -> int:
    """Run the sweep."""
    args = arguments()
    try:
        space = sweep_space(penalty=tuple(args.penalty), **settings_of(args))
        name = name_of(args)
        result = run_sweep(
            space,
            name=name,
            storage_path=args.results,
            trials=args.trials,
            concurrent=args.concurrent,
            cpus_per_trial=args.cpus_per_trial,
            gpus_per_trial=args.gpus_per_trial,
            searcher=args.searcher,
            rule=args.rule,
            grace_period=args.grace_period,
            reduction_factor=args.reduction_factor,
            seed=args.seed,
            resume=args.resume,
            checkpoint_every=args.checkpoint_every,
            keep_checkpoints=args.keep_checkpoints,
            max_failures=args.max_failures,
            address=args.address,
            nodes=args.nodes,
        )
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    if len(result.front):
        show(result, name)
    for line in result.problems:
        print(line, file=sys.stderr)
    return result.exit_status


def show(result: SweepResult, name: str) -> None:
    """Print the front and where everything is."""
    print(result.front.table_text())
    remote = "://" in result.path
    local = name if remote else result.path
    write_pictures(result, f"{local}/pictures")
    front = result.front
    counts = (
        f"{len(front)} children, {len(front.front)} on the front, {len(front.distinct)} different"
    )
    box = f"of the box from 100 %, 0 FLOPs to 0 %, {result.largest_flops / 1e6:.3f} MFLOPs"
    stopped = f"{result.stopped} of {result.trials} trials were stopped early"
    lines = [
        "",
        f"front file    {join(result.path, 'front.parquet')} ({counts})",
        f"hypervolume   {result.hypervolume:.4f} {box}",
        f"saved         {100 * result.saved:.0f} % of the epochs: {stopped}",
        f"pictures      {local}/pictures/front.svg and {local}/pictures/architectures/",
    ]
    if remote:
        lines.append(f"then          copy all of {result.path} into the folder {name}:")
    lines.append(f"TensorBoard   tensorboard --logdir {local}/tensorboard")
    kept = [row for row in result.front.front if row["checkpoint"]]
    if kept:
        # Rounded up, so that the cell in the middle of the front is within the budget.
        budget = math.ceil(kept[len(kept) // 2]["flops"] / 1e3) / 1e3
        lines.append(
            f"take a cell   python examples/take_cell.py {local} --max-mflops {budget:.3f}"
        )
    print("\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
