"""What a search pays besides its steps: batches, checkpoints, and the derived child.

    python benchmarks/other_costs.py augment --size paper    # or demo
    python benchmarks/other_costs.py checkpoint
    python benchmarks/other_costs.py child

Each runs in one process. In every round all that is compared runs once, in turn; a share is the
median over the rounds of the ratio within a round, in brackets the least and the largest. On a GPU
every time ends when the device is idle. The cost of reporting to Tune is in ``report_cost.py``.

``augment``: all that makes the batch of a step (its order, the images, normalisation, crop, mirror,
cutout and drop path), timed inside a step, as a share of that step. At most 5 % is asked for. Its
parts are timed alone as well, after the step. Images are noise, as many as in CIFAR-10 for
``paper`` and as in the shipped digits for ``demo``.

``checkpoint``: writing a search to a file and going on from it, as a share of an epoch of the demo,
evaluation included. For a search of the paper's size only seconds: no epoch is run. The file is
in the system's folder for temporary files, and nothing waits for the disk.

``child``: the parts of an epoch's evaluation, as a share of the epoch's training, in a demo on the
shipped digits. Every round starts from the same state after one epoch. The whole evaluation also
counts FLOPs, parameters and memory.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rates import seconds

from snas_tune.config import SearchConfig
from snas_tune.data import ImageSet
from snas_tune.search.checkpoint import FILE, read_state, save_search
from snas_tune.search.search import Search
from snas_tune.training.augment import augment
from snas_tune.training.batches import batch_indices
from snas_tune.training.seeds import generator_for

PAPER = {"cells": 8, "channels": 16, "nodes": 4}
DEMO = {"cells": 3, "channels": 8, "nodes": 3, "channels_last": True}
"""Settings of the search of DARTS and SNAS on CIFAR-10, and of ``make demo``."""

SHAPES = {"paper": (50_000, 3, 32, 32), "demo": (1_442, 1, 8, 8)}
"""Training images of CIFAR-10 and of the shipped digits."""

MOST = 0.05
"""The share of a step that its batch may take."""

STRENGTH = 1.0
"""Penalty strength of all searches here, in nats."""


def noise(size: str) -> ImageSet:
    """Random pixels in the shape of a data set with ten classes."""
    shape = SHAPES[size]
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return ImageSet(pixels, np.arange(len(pixels)) % 10, tuple("0123456789"))


def measured(
    what: str, values: Sequence[float], wholes: Sequence[float] | None = None, **more: Any
) -> dict[str, Any]:
    """A row of a record: the median of some seconds, and their share of ``wholes``, if given."""
    row = {"what": what, **more, "seconds": statistics.median(values), "all_seconds": list(values)}
    if wholes is not None:
        shares = [value / whole for value, whole in zip(values, wholes, strict=True)]
        row["share"] = statistics.median(shares)
        row["share_least"], row["share_most"] = min(shares), max(shares)
    return row


def share_text(row: dict[str, Any]) -> str:
    """The share of a row in percent with its range; empty if it has none."""
    if "share" not in row:
        return ""
    least, most = 100 * row["share_least"], 100 * row["share_most"]
    return f"{100 * row['share']:.2f} ({least:.2f} to {most:.2f})"


def say(line: str) -> None:
    """Show progress."""
    print(line, file=sys.stderr, flush=True)


def measure_augment(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Time the parts of a batch, the batch, and the step that contains one."""
    config = SearchConfig(
        **(PAPER if args.size == "paper" else DEMO),
        penalty_strength=STRENGTH,
        device=args.device,
        crop_padding=4,
        flip=True,
        cutout=16,
        drop_path=0.3,
        epochs=args.rounds + 1,
    )
    say(f"building a search of size {args.size}")
    search = Search(config, noise(args.size))
    device, train = search.runtime.device, search.data.train
    index = batch_indices(len(train), config.batch_size, config.seed, 0).to(device)
    images = search.data.normalise(train.pixels[index], search.runtime.channels_last)
    times: dict[str, list[float]] = {"the batch": [], "the whole step": []}
    make_batch = search._batch

    def timed_batch(part: int) -> Any:
        """Where a step makes its batch: its caches hold other things by then."""
        made: list[Any] = []
        times["the batch"].append(seconds(lambda: made.append(make_batch(part)), device))
        return made[0]

    search._batch = timed_batch  # type: ignore[method-assign]
    parts: dict[str, Callable[[], object]] = {
        "the whole step": search.take_step,
        "alone: the order of the images": lambda: batch_indices(
            len(train), config.batch_size, config.seed, search.step
        ),
        "alone: index and normalise": lambda: search.data.normalise(
            train.pixels[index], search.runtime.channels_last
        ),
        "alone: crop, mirror, cutout": lambda: augment(
            images, search.augmentation, generator_for(config.seed, "augment", search.step)
        ),
    }
    for number in range(args.rounds + 1):
        for name, work in parts.items():
            times.setdefault(name, []).append(seconds(work, device))
        say(f"round {number} of {args.rounds}")
    for values in times.values():
        del values[0]  # a warm-up
    rows = [measured(name, took, times["the whole step"]) for name, took in times.items()]
    print("| what | ms | % of a step (least to most) |\n|:---|---:|---:|")
    for row in rows:
        print(f"| {row['what']} | {1000 * row['seconds']:.2f} | {share_text(row)} |")
    batch = next(row["share"] for row in rows if row["what"] == "the batch")
    verdict = "met" if batch <= MOST else "NOT met"
    print(f"\nA batch may take {100 * MOST:.0f} % of a step, takes {100 * batch:.2f} %: {verdict}.")
    return rows


def demo_after_an_epoch(args: argparse.Namespace) -> Search:
    """The demo's search, one epoch old."""
    search = Search(
        SearchConfig(**DEMO, penalty_strength=STRENGTH, epochs=args.epochs, device=args.device)
    )
    say("the first epoch")
    search.run_epoch()
    return search


def load(search: Search, directory: Path) -> None:
    """Bring a search to the state in a checkpoint's directory."""
    search.load_state_dict(read_state(directory))


def measure_checkpoint(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Time saving and loading at both sizes, and an epoch of the demo."""
    demo = demo_after_an_epoch(args)
    config = SearchConfig(**PAPER, penalty_strength=STRENGTH, device=args.device)
    paper = Search(config, noise("paper"))
    say("a step of the search of the paper's size")
    paper.take_step()  # momenta are there from the first step on
    rows = []
    for size, search in (("demo", demo), ("paper", paper)):
        saving, loading, epochs = [], [], []
        with tempfile.TemporaryDirectory() as directory:
            start, saved = Path(directory, "start"), Path(directory, "saved")
            save_search(search, start)
            for number in range(args.rounds):
                if search is demo:
                    load(search, start)
                    epochs.append(search.run_epoch()["seconds"])
                device = search.runtime.device
                saving.append(seconds(partial(save_search, search, saved), device))
                loading.append(seconds(partial(load, search, saved), device))
                say(f"{size}: round {number + 1} of {args.rounds}")
            mib = Path(saved, FILE).stat().st_size / 2**20
        wholes = epochs or None
        rows.append(measured("save", saving, wholes, size=size, mib=mib))
        rows.append(measured("load", loading, wholes, size=size, mib=mib))
    print("| size | what | s | MiB | % of an epoch (least to most) |\n|:---|:---|---:|---:|---:|")
    for row in rows:
        print(
            f"| {row['size']} | {row['what']} | {row['seconds']:.4f} | {row['mib']:.2f} "
            f"| {share_text(row)} |"
        )
    return rows


def measure_child(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Time the parts of an evaluation, and the training of an epoch."""
    search = demo_after_an_epoch(args)
    derived, child = search.derive(), search.child()

    def inherited() -> None:
        raw = search.space.child(derived)
        raw.inherit(search.supernet)
        search.runtime.place(raw)

    parts: dict[str, Callable[[], object]] = {
        "derive the architecture": search.derive,
        "build the child, inherit": inherited,
        "recalibrate": lambda: search.child(derived),
        "evaluate the child": lambda: search.child_accuracy(child),
        "evaluate the supernet": search.supernet_accuracy,
        "the whole evaluation": search.evaluate,
    }
    times: dict[str, list[float]] = {name: [] for name in parts}
    training = []
    with tempfile.TemporaryDirectory() as directory:
        save_search(search, directory)
        for number in range(args.rounds):
            training.append(search.run_epoch()["seconds_training"])
            load(search, Path(directory))
            took = {name: seconds(work, search.runtime.device) for name, work in parts.items()}
            took["recalibrate"] -= took["build the child, inherit"]  # which it does first
            for name, value in took.items():
                times[name].append(value)
            say(f"round {number + 1} of {args.rounds}")
    rows = [measured(name, values, training) for name, values in times.items()]
    rows.append(measured("train an epoch", training, training))
    print("| what | ms | % of an epoch's training (least to most) |\n|:---|---:|---:|")
    for row in rows:
        print(f"| {row['what']} | {1000 * row['seconds']:.1f} | {share_text(row)} |")
    return rows


def write_record(args: argparse.Namespace, record: dict[str, Any]) -> None:
    """Write a record as JSON where asked, with what it was measured on."""
    if args.out is None:
        return
    on_gpu = torch.cuda.is_available() and args.device != "cpu"
    about = {
        "machine": platform.machine(),
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "threads": args.threads,
        "torch": torch.__version__,
        "rounds": args.rounds,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({**about, **record}, indent=1) + "\n")


def add_common(parser: argparse.ArgumentParser, rounds: int, threads: int) -> None:
    """The options that all measurements share."""
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--threads", type=int, default=threads)
    parser.add_argument("--device", default="auto", help="default: a GPU if there is one")
    parser.add_argument("--out", type=Path, help="write the record there, as JSON")


def main() -> None:
    """Measure what is asked for, print it as a table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = parser.add_subparsers(dest="kind", required=True)
    kind = kinds.add_parser("augment", help="the batch of a step")
    kind.add_argument("--size", choices=SHAPES, default="paper")
    add_common(kind, 9, torch.get_num_threads())
    kind.set_defaults(measure=measure_augment)
    for name, measure, about in (
        ("checkpoint", measure_checkpoint, "saving and loading a search"),
        ("child", measure_child, "the evaluation of an epoch"),
    ):
        kind = kinds.add_parser(name, help=about)
        kind.add_argument("--epochs", type=int, default=12, help="horizon of the demo's search")
        add_common(kind, 5, 1)  # as a trial of the demo
        kind.set_defaults(measure=measure)
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error(f"rounds must be positive, got {args.rounds}")
    if getattr(args, "epochs", 2) < 2:
        parser.error(f"epochs must be 2 or more, got {args.epochs}")
    torch.set_num_threads(args.threads)
    rows = args.measure(args)
    settings = {name: getattr(args, name) for name in ("size", "epochs") if hasattr(args, name)}
    write_record(args, {"kind": args.kind, **settings, "rows": rows})


if __name__ == "__main__":
    main()
