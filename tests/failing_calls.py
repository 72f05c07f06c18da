"""Files are written while the n-th call of the system fails, for every n until none fails.

``python failing_calls.py SHIM FOLDER SUBJECT...`` runs under ``LD_PRELOAD=SHIM``, which is
``failing_calls.c``: so also what libraries write in C++ fails.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import json
import math
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
from conftest import TINY
from front_rows import row

from snas_tune.cli.recipe import read_recipe, recipe_text
from snas_tune.config import SearchConfig
from snas_tune.front import FrontFile, ParetoFront
from snas_tune.stopping.journal import Journal

MOST_CALLS = 500
"""A write that makes more calls does not end."""

ERRORS = (errno.ENOSPC, errno.EIO)


@dataclass
class Subject:
    """Something that is written: before, anew, and how it is read."""

    old: Callable[[Path], Any]
    new: Callable[[Path], Any]
    read: Callable[[Path], Any]
    leaves: tuple[str, ...] = ()
    """Names of files that a failed write may leave: those that are complete in themselves."""


def front() -> Subject:
    rows = [row(epoch=epoch) for epoch in range(3)]

    def add(some):
        return lambda folder: FrontFile(str(folder / "front.parquet")).add(some)

    return Subject(add(rows[:1]), add(rows[1:]), epochs)


def epochs(folder: Path) -> list[int]:
    return ParetoFront.read(folder / "front.parquet").table["epoch"].to_pylist()


def appended(folder: Path) -> None:
    """One row in the front file, and one beside it."""
    file = FrontFile(str(folder / "front.parquet"))
    file.add([row(epoch=0)])
    file.append([row(epoch=1)])


def recent() -> Subject:
    def append(folder):
        file = FrontFile(str(folder / "front.parquet"))
        file._next = math.inf
        file.append([row(epoch=2)])

    return Subject(appended, append, epochs)


def settled() -> Subject:
    return Subject(
        appended, lambda folder: FrontFile(str(folder / "front.parquet")).settle(), epochs
    )


def csv() -> Subject:
    few, more = (ParetoFront.from_rows([row(epoch=i) for i in range(n)]) for n in (1, 3))
    return Subject(
        lambda folder: few.to_csv(folder / "front.csv"),
        lambda folder: more.to_csv(folder / "front.csv"),
        lambda folder: (folder / "front.csv").read_text(),
    )


def journal() -> Subject:
    def write(count):
        def add(folder):
            log = Journal(str(folder / "journal"), {"sweep": 1})
            while len(log.lines) < count:
                log.add({"line": len(log.lines)})

        return add

    def read(folder):
        lines = Journal(str(folder / "journal"), {"sweep": 1}).lines
        assert lines == [{"line": i} for i in range(len(lines))]
        return 30 if 30 <= len(lines) < 36 else len(lines)  # line by line: any between is whole

    return Subject(write(30), write(36), read, leaves=("*.jsonl",))


def checkpoint() -> Subject:
    from snas_tune.search.checkpoint import read_state, save_search
    from snas_tune.search.search import Search

    torch.set_num_threads(1)
    search = Search(SearchConfig(**{**TINY, "supernet": "plain"}))

    def save(step):
        def at(folder):
            search.step = step
            save_search(search, folder)

        return at

    return Subject(save(0), save(1), lambda folder: read_state(folder)["step"])


def latency() -> Subject:
    from snas_tune.space.latency import read_latencies, write_latencies

    def write(table):
        return lambda folder: write_latencies(folder / "table.json", table, "cpu")

    return Subject(
        write({"a": 1.0}), write({"b": 2.0}), lambda folder: read_latencies(folder / "table.json")
    )


def implementations() -> Subject:
    from snas_tune.search.autotune import FILE, _read, _write

    def write(seconds):
        def kept(folder):
            if _write(folder / FILE, {"key": {"plain": seconds}}) == "not kept":
                raise OSError("which it logged in one line")

        return kept

    return Subject(write(1.0), write(2.0), lambda folder: _read(folder / FILE))


def program() -> Subject:
    from torch import nn

    from snas_tune.export.program import export_network
    from snas_tune.training.batches import Normalisation

    normalise = Normalisation(torch.zeros(1), torch.ones(1))

    def write(classes):
        network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        return lambda folder: export_network(
            network,
            folder / "child.pt2",
            normalise=normalise,
            side=2,
            classes=classes,
            architecture="{}",
        )

    def read(folder):
        extra = {"classes.json": ""}
        torch.export.load(folder / "child.pt2", extra_files=extra)
        return extra["classes.json"]

    return Subject(write(["a", "b"]), write(["c", "d"]), read)


def picture() -> Subject:
    from snas_tune.pictures import front_figure, save

    few, more = (
        front_figure(ParetoFront.from_rows([row(epoch=i) for i in range(n)]).marked())
        for n in (1, 3)
    )
    return Subject(
        lambda folder: save(few, folder / "front.svg"),
        lambda folder: save(more, folder / "front.svg"),
        lambda folder: len(list(ElementTree.parse(folder / "front.svg").iter())),
    )


def pictures() -> Subject:
    """All pictures of a sweep: each file is whole, and after the last one all are the new ones."""
    from snas_tune.sweep.result import SweepResult, write_pictures

    def write(count):
        front = ParetoFront.from_rows([row(epoch=i, flops=100 + i) for i in range(count)])
        result = SweepResult.__new__(SweepResult)
        object.__setattr__(result, "front", front)
        return lambda folder: write_pictures(result, folder)

    def read(folder):
        files = sorted(folder.rglob("*.svg")) + sorted(folder.rglob("*.png"))
        for file in files:
            end = b"</svg>" if file.suffix == ".svg" else b"IEND\xaeB`\x82"
            assert file.read_bytes().rstrip().endswith(end), f"{file} is half"
        return "whole"

    return Subject(write(1), write(2), read, leaves=("*.svg", "*.png"))


def description() -> Subject:
    from snas_tune.sweep.experiment import ASKED, DESCRIPTION, Description

    def write(seed):
        values = {**dict.fromkeys(ASKED), "seed": seed}
        return lambda folder: Description({}, values).write(str(folder))

    return Subject(
        write(1), write(2), lambda folder: json.loads((folder / DESCRIPTION).read_text())["seed"]
    )


def recipe() -> Subject:
    from snas_tune.front.storage import replace_file, resolve

    def write(cells):
        text = recipe_text(read_recipe(assignments=[f"cells={cells}"]))
        return lambda folder: replace_file(*resolve(str(folder / "sweep.yaml")), text.encode())

    return Subject(
        write(3), write(4), lambda folder: read_recipe(file=folder / "sweep.yaml").search["cells"]
    )


def scheduler() -> Subject:
    from snas_tune.sweep.scheduler import ParetoScheduler

    def write(count):
        def save(folder):
            manager = ParetoScheduler(["accuracy", "flops"], ["max", "min"])
            manager.judge.lines = [{"line": i} for i in range(count)]
            manager.save(str(folder / "scheduler.json"))

        return save

    return Subject(
        write(1), write(2), lambda folder: json.loads((folder / "scheduler.json").read_text())
    )


SUBJECTS = {
    each.__name__: each
    for each in (
        *(front, recent, settled, csv, journal, checkpoint, latency, implementations, program),
        *(picture, pictures, description, recipe, scheduler),
    )
}


def runs(shim: ctypes.CDLL, subject: Subject, folder: Path) -> Iterator[str]:
    """A line for each fault of a subject, and one at the end with the number of its calls."""
    reads = []
    for write in (subject.old, subject.new):
        write(folder)
        reads.append(subject.read(folder))
    for number, forever in itertools.product(ERRORS, (False, True)):
        for nth in range(1, MOST_CALLS):
            shutil.rmtree(folder)
            folder.mkdir()
            subject.old(folder)
            before = files(folder)
            shim.fail_arm(str(folder).encode(), nth, number, forever)
            error = error_of(lambda: subject.new(folder))
            calls = shim.fail_disarm()
            if calls < nth:
                break
            left = {path for path in files(folder) - before if not allowed(path, subject)}
            found = value_of(lambda: subject.read(folder))
            again = error_of(lambda: subject.new(folder))
            retried = value_of(lambda: subject.read(folder))
            faults = (
                (error is None or one_line(error), f"{type(error).__name__} {error}"),
                (found in reads, f"reads {found!r}"),
                (error is not None or found == reads[1], f"no error, but reads {found!r}"),
                (error is None or not left, f"leaves {left}"),
                (again is None and retried == reads[1], f"a second try reads {retried!r}: {again}"),
                (not any(path.startswith(".") for path in files(folder)), "temporary files stay"),
            )
            where = f"call {nth} of {calls} ({errno.errorcode[number]}{', for ever' * forever})"
            yield from (f"FAULT {where}: {what}" for right, what in faults if not right)
        else:
            yield "FAULT calls without an end"
    yield f"{nth - 1} calls"


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


def allowed(name: str, subject: Subject) -> bool:
    return not name.startswith(".") and any(map(Path(name).match, subject.leaves))


def error_of(run: Callable[[], Any]) -> Exception | None:
    try:
        run()
    except Exception as error:
        return error
    return None


def value_of(run: Callable[[], Any]) -> Any:
    try:
        return run()
    except Exception as error:
        return error


def one_line(error: Exception) -> bool:
    return isinstance(error, OSError | ValueError) and "\n" not in str(error)


def main() -> None:
    shim = ctypes.CDLL(sys.argv[1])
    shim.fail_arm.argtypes = (ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_int)
    shim.fail_disarm.restype = ctypes.c_long
    for name in sys.argv[3:]:
        folder = Path(sys.argv[2]) / name
        folder.mkdir()
        for line in runs(shim, SUBJECTS[name](), folder):
            print(f"{name}: {line}", flush=True)


if __name__ == "__main__":
    main()
