"""Take a cell from a front, the best under a budget or a named one; train and export it.

python examples/take_cell.py results/digits-demo-seed0 --max-mflops 0.2
python examples/take_cell.py results/digits-demo-seed0 --max-mflops 0.2 --epochs 9 --export cell.pt2
python examples/take_cell.py results/digits-demo-seed0 --cell linear-8.60e+00-2b990b:6

A cell whose checkpoint was kept has the supernet's weights; another one begins with new ones.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from snas_tune import Genotype, ParetoFront, SearchConfig, load_search
from snas_tune.data import NoTestImages, load_test
from snas_tune.export.program import CLASSES, check_export, export_network
from snas_tune.front.storage import check_writable
from snas_tune.search.search import Search
from snas_tune.space.cell.child import ChildNetwork
from snas_tune.training.batches import Images
from snas_tune.training.diverged import SearchDiverged
from snas_tune.training.evaluate import accuracy
from snas_tune.training.train import EpochReport, Training, train


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("sweep", help="the experiment's directory, or the front file in it")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--max-mflops",
        type=float,
        metavar="M",
        help="the most accurate cell of at most so many million multiply-adds",
    )
    which.add_argument("--cell", metavar="TRIAL:EPOCH", help="the cell of this trial and epoch")
    add("--epochs", type=int, default=0, help="train the child for so long (default: not at all)")
    add("--drop-path", type=float, help="of the training (default: the search's)")
    add("--data-root", help="where the images lie (default: where the search had them)")
    add("--device", help="cpu, cuda, ... (default: the search's)")
    add("--seed", type=int, default=0, help="of the training (default: %(default)s)")
    add("--export", type=Path, metavar="FILE.pt2", help="write the child with torch.export there")
    add(
        "--pixels",
        choices=("uint8", "float32"),
        default="uint8",
        help="type of the exported program's input (default: %(default)s)",
    )
    return parser.parse_args()


def load(args: argparse.Namespace) -> tuple[dict[str, Any], Search, ChildNetwork, Training]:
    """Check all that can be wrong, and load the search and its child."""
    training = Training(epochs=args.epochs, seed=args.seed, drop_path=args.drop_path or 0.0)
    if args.export is not None:
        check_export(args.export)
        check_writable(str(args.export.parent))
    row = chosen(ParetoFront.read(args.sweep), args)
    changes = {name: value for name in ("data_root", "device") if (value := getattr(args, name))}
    if row["checkpoint"]:
        folder = Path(args.sweep).parent if Path(args.sweep).is_file() else Path(args.sweep)
        search = load_search(folder / row["checkpoint"], **changes)
    elif args.epochs:
        print("the checkpoint of this cell was not kept: its training begins with new weights")
        config = SearchConfig.from_dict({**json.loads(row["config"]), **changes})
        search = Search(config)
    else:
        raise ValueError(
            f"epochs must be positive for a cell whose checkpoint was not kept, got {args.epochs}"
        )
    config = search.config
    training = replace(
        training,
        batch_size=config.batch_size,
        evaluation_batch_size=config.evaluation_batch_size,
        augmentation=search.augmentation,
        drop_path=config.drop_path if args.drop_path is None else args.drop_path,
    )
    child = search.child(Genotype.from_json(row["architecture"]))
    print(
        f"{row['trial']}, epoch {row['epoch']}: {row['flops'] / 1e6:.3f} MFLOPs (multiply-adds "
        f"of one image), {row['params']} weights\n{child.genotype.to_text()}"
    )
    return row, search, child, training


def chosen(front: ParetoFront, args: argparse.Namespace) -> dict[str, Any]:
    """The row of the front file that the command line asks for."""
    if args.cell is None:
        with_weights = ParetoFront.from_rows(row for row in front.rows if row["checkpoint"])
        return with_weights.best(max_flops=args.max_mflops * 1e6)
    for row in front.rows:
        if f"{row['trial']}:{row['epoch']}" == args.cell:
            return row
    raise ValueError(f"cell must be the TRIAL:EPOCH of a row of the front file, got {args.cell}")


def test_images(search: Search) -> Images | None:
    """The test images that belong to the search's; None if there are none."""
    config, train = search.config, search.data.train
    try:
        test = load_test(
            config.data,
            root=config.data_root,
            image_size=train.side,
            channels=train.channels,
            cache_dir=config.data_cache,
        )
    except NoTestImages as error:
        print(f"validation images only: {error}")
        return None
    return Images.of(test, search.runtime.device)


def main() -> int:
    """Pick, measure, train, measure again, export. Exit status 2 if an input is wrong."""
    args = arguments()
    try:
        row, search, child, training = load(args)
        test = test_images(search)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    def measured() -> str:
        text = f"validation {100 * search.child_accuracy(child):.1f} %"
        if test is None:
            return text
        size, data = search.config.evaluation_batch_size, search.data
        right = accuracy(child, test, data.normalise, search.runtime, size)
        return f"test {100 * right:.1f} %, {text}"

    def told(report: EpochReport) -> None:
        print(
            f"epoch {report.epoch} of {args.epochs}: loss {report.loss:.3f}, "
            f"validation {100 * report.accuracy:.1f} %",
            flush=True,
        )

    if row["checkpoint"]:
        print(f"with the supernet's weights: {measured()}")
    if args.epochs:
        try:
            train(child, search.data, search.runtime, training, told)
        except SearchDiverged as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        print(f"trained: {measured()}")
    if args.export is not None:
        images = search.data.train
        path, channels, side = str(args.export), images.channels, images.side
        export_network(
            child,
            path,
            normalise=search.data.normalise,
            side=side,
            classes=images.classes,
            architecture=child.genotype.to_json(),
            dtype=getattr(torch, args.pixels),
        )
        print(
            f"exported to {path}: {args.pixels} pixels from 0 to 255 of shape "
            f"(B, {channels}, {side}, {side}) to class logits; the class names are inside:\n"
            f"  names = {{{CLASSES!r}: ''}}\n"
            f"  program = torch.export.load({path!r}, extra_files=names)"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
