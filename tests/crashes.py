"""Crashes of a sweep at random instants, each followed by ``--resume``; what they cost.

As a program it writes the figures: ``python tests/crashes.py --crashes 30 --output figures.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from snas_tune.front import ParetoFront

KINDS = ("trial", "driver", "raylet", "gcs", "all")
"""What is killed, by ``kill -9``."""

NAMES = {"raylet": "raylet/raylet", "gcs": "gcs/gcs_server", "trial": "ray::SnasTrainable"}
"""Parts of the command lines of Ray's processes."""

RULES = ("fifo", "pareto")
TRIALS, EPOCHS = 8, 4
LOST = re.compile(
    r"Ray's .*died; "
    r"((\d+ children of \d+ trials are saved|what is saved is) in \S+|no child was finished yet); "
    r"go on with the same command and --resume"
)

OF_RAY = re.compile(r".*Failed to (register worker to Raylet|connect to GCS).*|Ray did not start.*")
"""Lines while the driver is starting Ray: its threads cannot run then, and the first is Ray's."""

MINUTE = 60.0


def command(storage: Path, rule: str) -> list[str]:
    """A sweep of tiny searches, one at a time, which its seed fixes."""
    settings = "cells=3 channels=4 nodes=1 limit_images=120 recalibration_batches=2 threads=1"
    flags = f"--name k --trials {TRIALS} --concurrent 1 --epochs {EPOCHS} --rule {rule}"
    flags += " --searcher tpe --reduction-factor 2 --batch-size 16 --supernet plain"
    words = [sys.executable, "-m", "snas_tune", "sweep", "--storage-path", str(storage)]
    words += flags.split()
    for setting in settings.split():
        words += ["--set", setting]
    return words


def children_of(pid: int) -> dict[int, str]:
    """Every process below ``pid``, with its command line."""
    parents, names = {}, {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with suppress(OSError, IndexError):
                stat = (path / "stat").read_text().rsplit(")")[-1].split()
                parents[int(path.name)] = int(stat[1])
                names[int(path.name)] = (path / "cmdline").read_text().replace("\0", " ")
    found: dict[int, str] = {}
    grown = True
    while grown:
        grown = False
        for child, parent in parents.items():
            if child not in found and child in names and (parent == pid or parent in found):
                found[child] = names[child]
                grown = True
    return found


def rows_of(storage: Path) -> list[dict[str, Any]]:
    """The rows of the front file; none if it is not there."""
    if not (storage / "k" / "front.parquet").exists():
        return []
    return ParetoFront.read(storage / "k").rows


def outcome(storage: Path) -> tuple[list[Any], list[Any]]:
    """What was reported, and what was decided."""
    keys = ("trial", "epoch", "architecture", "child_accuracy", "flops")
    lines = [
        {name: value for name, value in json.loads(line).items() if name != "crc"}
        for file in sorted((storage / "k/scheduler").glob("*.jsonl"))
        for line in file.read_text().splitlines()[1:]
    ]
    return [[row[key] for key in keys] for row in rows_of(storage)], lines


class Looker(threading.Thread):
    """Reads the front file all the time."""

    def __init__(self, storage: Path) -> None:
        super().__init__(daemon=True)
        self.storage, self.looks, self.problems = storage, 0, []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.005):
            try:
                self.looks += bool(rows_of(self.storage))
            except Exception as error:
                self.problems.append(repr(error))


@contextmanager
def looking(storage: Path) -> Iterator[Looker]:
    looker = Looker(storage)
    looker.start()
    yield looker
    looker.over.set()
    looker.join()


@dataclass
class Crash:
    """One of them, and what followed."""

    kind: str
    rows: int
    """That the front file held."""
    seconds: float = 0.0
    """Until the program ended; of a trial, until there was a new row or the sweep ended."""
    status: int | None = None
    line: str = ""
    """The last one that the program said."""


@dataclass
class Figures:
    """Of one sweep."""

    rule: str
    crashes: list[Crash] = field(default_factory=list)
    looks: int = 0
    unreadable: list[str] = field(default_factory=list)
    lost: int = 0
    repeated: int = 0
    rows: int = 0
    equal: bool = False


class Program:
    """The command as a process, its words in a file."""

    def __init__(self, storage: Path, rule: str, *, resume: bool) -> None:
        self.storage = storage
        self.words = storage / f"output-{time.monotonic_ns()}.txt"
        self._file = self.words.open("w")
        self.process = subprocess.Popen(
            [*command(storage, rule), *(["--resume"] if resume else [])],
            stdout=self._file,
            stderr=subprocess.STDOUT,
            cwd=storage,
        )

    @property
    def output(self) -> str:
        return self.words.read_text(errors="replace")

    def wait(self, timeout: float) -> int:
        """Its exit status; killed if it takes longer."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"no end within {timeout} s: {self.output[-2000:]}") from None
        finally:
            self._file.close()

    def find(self, kind: str) -> list[int]:
        """The processes that a crash of this kind kills, the driver last."""
        known = children_of(self.process.pid)
        wanted = NAMES if kind == "all" else {kind: NAMES.get(kind, "\0")}
        pids = [pid for part in wanted.values() for pid, name in known.items() if part in name]
        return [*pids, *([self.process.pid] if kind in ("driver", "all") else [])]

    def crash(self, kind: str, after: float) -> Crash | None:
        """Kill after so many seconds with Ray there; none if the sweep ends before."""
        while not self.find("raylet"):
            if self.process.poll() is not None:
                return None
            time.sleep(0.1)
        time.sleep(after)
        while not (pids := self.find(kind)):
            if self.process.poll() is not None:
                return None
            time.sleep(0.05)
        if self.process.poll() is not None:
            return None
        made = Crash(kind, len(rows_of(self.storage)))
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        begin = time.monotonic()
        if kind == "trial":
            while self.process.poll() is None and len(rows_of(self.storage)) == made.rows:
                assert time.monotonic() < begin + 5 * MINUTE, self.output[-2000:]
                time.sleep(0.1)
        else:
            made.status = self.wait(5 * MINUTE)
        made.seconds = round(time.monotonic() - begin, 1)
        made.line = (self.output.splitlines() or [""])[-1]
        return made


def disturbed(storage: Path, rule: str, crashes: list[tuple[str, float]]) -> Figures:
    """A sweep under crashes, until it is whole; as many as happen before that are taken away."""
    figures = Figures(rule)
    before: set[tuple[str, int]] = set()
    with looking(storage) as looker:
        program = Program(storage, rule, resume=False)
        while crashes:
            made = program.crash(*crashes[0])
            if made is None:  # it was whole before; the next one gets it earlier
                crashes[0] = (crashes[0][0], crashes[0][1] / 2)
                break
            crashes.pop(0)
            figures.crashes.append(made)
            now = {(row["trial"], row["epoch"]) for row in rows_of(storage)}
            figures.lost += len(before - now)
            before |= now
            print(f"{rule}: {asdict(made)}", file=sys.stderr, flush=True)
            if made.kind != "trial":
                program = Program(storage, rule, resume=True)
        status = program.wait(10 * MINUTE)
        while status != 0:
            assert status == 1, program.output[-2000:]
            program = Program(storage, rule, resume=True)
            status = program.wait(10 * MINUTE)
    figures.looks, figures.unreadable = looker.looks, looker.problems
    keys = pq.read_table(storage / "k/front.parquet", columns=["trial", "epoch"]).to_pylist()
    count = Counter((row["trial"], row["epoch"]) for row in keys)
    figures.repeated = sum(number - 1 for number in count.values())
    figures.lost += len(before - set(count))
    figures.rows = len(keys)
    return figures


def undisturbed(storage: Path, rule: str) -> tuple[list[Any], list[Any]]:
    program = Program(storage, rule, resume=False)
    assert program.wait(10 * MINUTE) == 0, program.output[-2000:]
    return outcome(storage)


def measure(folder: Path, number: int, seed: int) -> list[Figures]:
    """Sweeps under ``number`` crashes in all, half of them under each rule.

    Args:
        folder: for what the sweeps write.
        number: of crashes.
        seed: of the kinds, which all come equally often, and of the instants.
    """
    generator, found = random.Random(seed), []
    with own_ray_folder():
        for rule, share in zip(RULES, (number - number // 2, number // 2), strict=True):
            (folder / rule / "whole").mkdir(parents=True)
            begin = time.monotonic()
            expected = undisturbed(folder / rule / "whole", rule)
            span = 0.6 * (time.monotonic() - begin)
            kinds = [KINDS[place % len(KINDS)] for place in range(share)]
            generator.shuffle(kinds)
            left = [(kind, generator.uniform(0, span)) for kind in kinds]
            while left:
                storage = folder / rule / f"sweep-{len(found)}"
                storage.mkdir()
                figures = disturbed(storage, rule, left)
                figures.equal = outcome(storage) == expected
                found.append(figures)
    return found


@contextmanager
def own_ray_folder() -> Iterator[None]:
    """What Ray writes goes with the crashes."""
    before, folder = os.environ.get("RAY_TMPDIR"), tempfile.mkdtemp(prefix="cr", dir="/tmp")
    os.environ["RAY_TMPDIR"] = folder
    yield
    os.environ.pop("RAY_TMPDIR")
    if before is not None:
        os.environ["RAY_TMPDIR"] = before
    shutil.rmtree(folder, ignore_errors=True)


def summary(found: list[Figures]) -> dict[str, Any]:
    """The figures in a few numbers."""
    crashes = [crash for figures in found for crash in figures.crashes]
    longest = {
        kind: max((each.seconds for each in crashes if each.kind == kind), default=None)
        for kind in KINDS
    }
    return {
        "crashes": len(crashes),
        "by_kind": Counter(each.kind for each in crashes),
        "by_rule": Counter(figures.rule for figures in found for _ in figures.crashes),
        "sweeps": len(found),
        "rows": sum(figures.rows for figures in found),
        "lost": sum(figures.lost for figures in found),
        "repeated": sum(figures.repeated for figures in found),
        "looks": sum(figures.looks for figures in found),
        "unreadable": sum(len(figures.unreadable) for figures in found),
        "equal": sum(figures.equal for figures in found),
        "longest_seconds": longest,
    }


def table(figures: dict[str, Any]) -> str:
    """The same for a page of docs/."""
    kinds, longest = figures["by_kind"], figures["longest_seconds"]
    lines = [
        "| killed | times | longest wait, s |",
        "|:---|---:|---:|",
        *(f"| {kind} | {kinds[kind]} | {longest[kind]} |" for kind in KINDS if kinds[kind]),
        "",
        f"{figures['crashes']} crashes ({dict(figures['by_rule'])}) of {figures['sweeps']} sweeps, "
        f"{figures['rows']} children: {figures['lost']} lost, {figures['repeated']} twice; the "
        f"front file was readable in {figures['looks']} of "
        f"{figures['looks'] + figures['unreadable']} looks; {figures['equal']} of "
        f"{figures['sweeps']} sweeps ended with the rows and decisions of the undisturbed one.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crashes", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("crashes.json"))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), asked.crashes, asked.seed)
    whole = {"summary": summary(found), "sweeps": [asdict(figures) for figures in found]}
    asked.output.write_text(json.dumps(whole, indent=1) + "\n")
    print(table(whole["summary"]))


if __name__ == "__main__":
    main()
