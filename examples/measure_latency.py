"""Measure the latency of every part of a search space on this device, into a table for searches.

Run it where the child will run; the table is a file that is carried to where the search runs.

python examples/measure_latency.py --data cifar10 --cells 8 --channels 16 --output phone.json
python examples/measure_latency.py --image-size 32 --image-channels 3 --classes 10 --threads 1
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from snas_tune import SearchConfig
from snas_tune.config import DARTS_OPS, STEMS
from snas_tune.data import StderrProgress
from snas_tune.front.storage import check_writable
from snas_tune.search.images import load_images
from snas_tune.space.cell.ops import check_ops
from snas_tune.space.cell.skeleton import Skeleton
from snas_tune.space.cell.supernet import skeleton_of
from snas_tune.space.latency import layers_to_measure, measure_latencies, write_latencies
from snas_tune.training.runtime import choose_device


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, default = parser.add_argument, SearchConfig()
    add("--data", help="take the images' shape and classes from there, as a search would")
    add("--data-root", default="data", help="where named data sets lie or are downloaded to")
    add("--image-size", type=int, help="side in pixels (default: the data's own)")
    add("--image-channels", type=int, choices=(1, 3), help="(default: the data's own)")
    add("--classes", type=int, help="how many (default: the data's)")
    add("--cells", type=int, default=default.cells, help="as in the search (default: %(default)s)")
    add("--channels", type=int, default=default.channels, help="likewise (default: %(default)s)")
    add(
        "--partial-channels",
        type=int,
        default=default.partial_channels,
        help="likewise (default: %(default)s)",
    )
    add("--nodes", type=int, default=default.nodes, help="likewise (default: %(default)s)")
    add("--stem", choices=STEMS, default=default.stem, help="likewise (default: %(default)s)")
    add("--ops", nargs="+", default=DARTS_OPS, metavar="OP", help="likewise (default: DARTS')")
    add("--device", default="auto", help="a torch device (default: a GPU if there is one)")
    add("--threads", type=int, help="of torch on a CPU (default: torch's own choice)")
    add("--repeats", type=int, default=30, help="runs of a part, of which the median counts")
    add("--output", type=Path, default=Path("latency.json"), help="(default: %(default)s)")
    return parser.parse_args()


def skeleton(args: argparse.Namespace, config: SearchConfig) -> Skeleton:
    """The shapes of the search, from its data or from the command line."""
    given = {name: getattr(args, name) for name in ("image_size", "image_channels", "classes")}
    if args.data is not None:
        images = load_images(config)
        own = (images.images.shape[-1], images.images.shape[1], len(images.classes))
        given = dict(zip(given, own, strict=True))
        if args.classes not in (None, given["classes"]):
            raise ValueError(f"classes of {args.data} must be {own[2]}, got {args.classes}")
    for name, value in given.items():
        if value is None or value < 1:
            raise ValueError(f"{name} must be positive where no data is given, got {value}")
    return skeleton_of(config, **given)


def main() -> int:
    """Measure and write; the exit status is 2 if an input is wrong."""
    args = arguments()
    names = (
        "data_root",
        "image_size",
        "image_channels",
        "cells",
        "channels",
        "partial_channels",
        "nodes",
        "stem",
        "ops",
        "device",
        "threads",
    )
    settings = {name: getattr(args, name) for name in names}
    try:
        config = SearchConfig(data=args.data or "digits", **settings)
        check_ops(config.ops)
        device = choose_device(config.device)
        if args.output.is_dir():
            raise ValueError(f"output must be a file, got the directory {args.output}")
        check_writable(str(args.output.parent))
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        parts = layers_to_measure(skeleton(args, config), config)
        progress, done = StderrProgress(), iter(range(1, len(parts) + 1))
        table = measure_latencies(
            parts,
            device=config.device,
            repeats=args.repeats,
            progress=lambda part, _: progress(
                f"measuring {len(parts)} parts", next(done), len(parts)
            ),
        )
        write_latencies(args.output, table, config.device)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    slowest = max(table, key=lambda key: table[key])
    print(f"""\
{len(table)} parts on {device}, {torch.get_num_threads()} threads; the slowest takes \
{table[slowest]:.3f} ms: {slowest}
written to {args.output}; a search of this space takes it as
  sweep_space(cells={config.cells}, channels={config.channels}, \
partial_channels={config.partial_channels}, nodes={config.nodes},
               stem={config.stem!r}, ops={config.ops!r},
               latency_table={str(args.output.resolve())!r}, penalty_costs={{"latency_ms": 1}}, ...)
and every child's latency_ms is then in the front file""")
    return 0


if __name__ == "__main__":
    sys.exit(main())
