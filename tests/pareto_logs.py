"""Real event files of sweeps, and a real TensorBoard to serve them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from conftest import TINY

from snas_tune.config import SearchConfig
from snas_tune.front import FrontFile, ParetoFront
from snas_tune.results import METRICS
from snas_tune.space.cell.genotype import Cell, Edge, Genotype, cell_edges
from snas_tune.sweep.callbacks.trials import SweepTrial
from snas_tune.tensorboard_log import SweepLog

OPS = ("skip_connect", "max_pool_3x3", "sep_conv_3x3")
AXES = {"x": "flops", "y": "child_accuracy"}

WHOLE = ("step", "flops", "params", "params_with_dead", "memory")


def some_genotype(generator: np.random.Generator, nodes: int = 3) -> Genotype:
    def cell() -> Cell:
        pairs = [pair for pair in cell_edges(nodes) if generator.random() < 0.7]
        edges = tuple(Edge(OPS[generator.integers(len(OPS))], *pair) for pair in pairs)
        return Cell(nodes, edges, tuple(range(2, 2 + nodes)))

    return Genotype(cell(), cell())


def some_report(generator: np.random.Generator, epoch: int, strength: float) -> dict[str, Any]:
    """A report with every metric; FLOPs above what float32 tells apart, and ties among them."""
    names = [metric.name for metric in METRICS] + ["credit_normal", "credit_reduction"]
    report: dict[str, Any] = {name: float(generator.random()) for name in names}
    flops = 20_000_001 + int(40_000_000 / (1 + strength)) + int(generator.integers(0, 4))
    accuracy = (0.9 - 0.4 / (1 + epoch)) * (flops / 6e7) ** 0.2 + generator.normal(0, 0.02)
    report |= {name: int(generator.integers(1, 10**6)) for name in WHOLE}
    report |= {
        "epoch": epoch,
        "flops": flops,
        "largest_flops": 70_000_000,
        "child_accuracy": round(float(np.clip(accuracy, 0, 1)), 3),
        "latency_ms": float("nan"),
    }
    genotype = some_genotype(generator)
    return {**report, **genotype.columns(), "architecture": genotype.to_json()}


def write_sweep(
    folder: Path, trials: int = 6, epochs: int = 5, *, seeds: tuple[int, ...] = (0,), seed: int = 0
) -> ParetoFront:
    """What a sweep leaves in its folder: the front file and TensorBoard's event files."""
    generator = np.random.default_rng(seed)
    varied: dict[str, Any] = {"penalty_strength": (0.01, 10.0)}
    if len(seeds) > 1:
        varied["seed"] = list(seeds)
    log = SweepLog(folder / "tensorboard", varied, str(folder))
    file = FrontFile(str(folder / "front.parquet"))
    rows = []
    for strength in np.exp(generator.uniform(np.log(0.01), np.log(10), trials)).tolist():
        kind = str(generator.choice(["linear", "cosine"]))
        for number in seeds:
            config = SearchConfig(
                **{
                    **TINY,
                    "penalty_strength": strength,
                    "seed": number,
                    "temperature_schedule": kind,
                    "epochs": epochs,
                }
            )
            known = SweepTrial.of(config.to_dict())
            name = known.name
            log.start_trial(name, config)
            for epoch in range(1, epochs + 1):
                report = some_report(generator, epoch, strength)
                log.add_result(name, report)
                rows.append(known.row(report))
            rows[-1]["checkpoint"] = f"{name}/checkpoint_{epochs - 1:06d}"
            log.add_checkpoints(name, {epochs: rows[-1]["checkpoint"]})
            log.end_trial(name)
    file.add(rows)
    front = ParetoFront(file.table)
    log.add_front_size(len(front.front), trials)
    log.draw_front(front, trials)
    log.close()
    return front


class Served:
    """A TensorBoard that runs."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **query: Any) -> Any:
        """The plugin's JSON answer; also that of an error, with its ``code``."""
        return json.loads(self.text(path, **query))

    def text(self, path: str, body: Any = None, **query: Any) -> str:
        words = urllib.parse.urlencode(query, doseq=True)
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}data/plugin/pareto/{path}?{words}", data)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            return str(error.read().decode())

    def wait(self, ready: Callable[[Served], bool], seconds: float = 30) -> Served:
        """Until TensorBoard has loaded what ``ready`` looks for."""
        end = time.monotonic() + seconds
        while not ready(self):
            assert time.monotonic() < end, f"not loaded: {self.get('tags')}"
            time.sleep(0.1)
        return self

    def with_points(self, count: int, x: str = "flops", y: str = "child_accuracy") -> Served:
        return self.wait(lambda s: len(s.get("points", x=x, y=y).get("x", ())) == count)


@contextmanager
def serve(
    logdir: Path, *flags: str, environment: Mapping[str, str] | None = None
) -> Iterator[Served]:
    """A TensorBoard process on a free port of this machine."""
    command = [
        sys.executable,
        "-m",
        "tensorboard.main",
        "--logdir",
        str(logdir),
        "--port",
        "0",
        "--host",
        "localhost",
        "--reload_interval",
        "1",
        *flags,
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    said = []
    try:
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"TensorBoard \S+ at (http://\S+)", line):
                break
        else:
            raise AssertionError("".join(said))
        drain = threading.Thread(target=process.stderr.read, daemon=True)
        drain.start()
        yield Served(found[1])
    finally:
        process.kill()
        process.wait()
        drain.join()
        process.stderr.close()


def points_of(answer):
    """(run, step, x, y) of every point."""
    names = [answer["runs"][i]["name"] for i in answer["run"]]
    return list(zip(names, answer["step"], answer["x"], answer["y"], strict=True))


def rows_of(front: ParetoFront, prefix: str = ""):
    return [
        (f"{prefix}{row['trial']}", row["epoch"], row["flops"], row["child_accuracy"])
        for row in front.rows
    ]


def unimportable(folder: Path) -> dict[str, str]:
    """An environment in which importing ray or torch fails."""
    for name in ("ray", "torch"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise ImportError('not here')\n")
    return {**os.environ, "PYTHONPATH": str(folder)}
