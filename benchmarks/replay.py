"""Replay stopping rules over recorded sweeps: how much of the front for how many epochs.

    python benchmarks/replay.py --recordings fashion-mnist digits --lcbench --out docs/records

The real scheduler and searcher decide; only the trials are recordings, run by a simulated cluster
of ``--workers`` workers, an epoch taking each of them about the same time. Every rule sees the same
arrival orders. Hypervolumes have their reference point at no accuracy and the cost of the largest
child of the recording, and are given as a share of that of all epochs of all trials. On LCBench,
where costs span orders of magnitude, their logarithm counts.
"""

from __future__ import annotations

import argparse
import math
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from simulation import (
    Figures,
    Recording,
    Run,
    Trace,
    figures,
    read_front_file,
    read_lcbench,
    simulate,
)

from snas_tune.pictures import save
from snas_tune.stopping import make_rule
from snas_tune.stopping.rules import MoAsha, Rule
from snas_tune.sweep.domains import starting_points, sweep_space
from snas_tune.sweep.scheduler import ParetoScheduler
from snas_tune.sweep.searcher import make_searcher

FACTOR = 3.0
"""Between the epochs of two rungs, and the inverse of the share that most rules keep."""


@dataclass(frozen=True)
class Contender:
    """What is compared."""

    name: str
    rule: Callable[[], Rule]
    searcher: str | None = None
    """Proposes the trials; if none does they come in random order."""


CONTENDERS = (
    Contender("fifo", lambda: make_rule("fifo", FACTOR)),
    Contender("asha, accuracy", lambda: make_rule("asha", FACTOR)),
    Contender("asha, cost", lambda: make_rule("asha-cost", FACTOR)),
    Contender("asha, scalar", lambda: make_rule("asha-scalar", FACTOR)),
    Contender("mo-asha", lambda: make_rule("mo-asha", FACTOR)),
    Contender("mo-asha, half kept", lambda: MoAsha(2)),
    Contender("lag-corrected", lambda: make_rule("lag-corrected", FACTOR)),
    Contender("hopeless", lambda: make_rule("hopeless", FACTOR)),
    Contender("pareto", lambda: make_rule("pareto", FACTOR)),
)
WITH_SEARCHER = (
    Contender("fifo, tpe proposes", lambda: make_rule("fifo", FACTOR), "tpe"),
    Contender("fifo, pareto proposes", lambda: make_rule("fifo", FACTOR), "pareto"),
    Contender("pareto, tpe proposes", lambda: make_rule("pareto", FACTOR), "tpe"),
    Contender("pareto, pareto proposes", lambda: make_rule("pareto", FACTOR), "pareto"),
)


class Proposals:
    """Trials that a searcher proposes: each the recorded one that is nearest and not yet taken."""

    def __init__(self, recording: Recording, searcher: str, workers: int, order: int) -> None:
        strengths = [trace.config["penalty_strength"] for trace in recording.traces]
        space = sweep_space(penalty=(min(strengths), max(strengths)))
        points = starting_points(space, len(recording.traces), order)
        self._search = make_searcher(
            searcher, concurrent=workers, seed=order, points=points, max_t=recording.epochs
        )
        self._search.set_search_properties(None, None, space)
        self._recording = recording
        self._rest = dict(enumerate(recording.traces))

    def next_trace(self, identifier: str) -> int | None:
        """Of those that remain."""
        if not self._rest:
            return None
        config = self._search.suggest(identifier)
        assert config is not None

        def apart(trace: Trace) -> float:
            strengths = config["penalty_strength"], trace.config["penalty_strength"]
            other = trace.config["temperature_schedule"] != config["temperature_schedule"]
            return abs(math.log(strengths[0] / strengths[1])) + 0.2 * other

        chosen = min(self._rest, key=lambda i: apart(self._rest[i]))
        del self._rest[chosen]
        return chosen

    def done(self, identifier: str, trace: int, epoch: int) -> None:
        """Tell the searcher."""
        accuracy, flops = self._recording.traces[trace].points[epoch]
        result = {"epoch": epoch + 1, "child_accuracy": accuracy, "flops": flops}
        self._search.on_trial_complete(identifier, result)


def in_order(order: Iterable[int]) -> Callable[[str], int | None]:
    """Proposes traces in that order."""
    rest = iter(order)
    return lambda _: next(rest, None)


def replay(recording: Recording, contender: Contender, order: int, workers: int) -> Run:
    """One contender over one arrival order."""
    generator = np.random.default_rng([7, order])
    places = generator.permutation(len(recording.traces))
    scheduler = ParetoScheduler(
        time_attr="epoch",
        max_t=recording.epochs,
        grace_period=recording.grace,
        reduction_factor=FACTOR,
        rule=contender.rule(),
    )
    if contender.searcher is None:
        return simulate(recording, scheduler, in_order(places), lambda *_: None, workers, generator)
    proposals = Proposals(recording, contender.searcher, workers, order)
    return simulate(recording, scheduler, proposals.next_trace, proposals.done, workers, generator)


COLUMNS = {
    "spent": "epochs run",
    "final": "share at the end",
    "area": "area",
    "to_95": "to 95 %",
    "to_99": "to 99 %",
    "cheap_gap": "gap, cheap end",
    "accurate_gap": "gap, accurate end",
    "lost": "front lost",
}
"""What the table shows, and what it calls it."""


def interval(differences: np.ndarray) -> tuple[float, float]:
    """A 95 % bootstrap interval of the mean of paired differences."""
    generator = np.random.default_rng(0)
    draws = generator.integers(0, len(differences), (4000, len(differences)))
    low, high = np.quantile(differences[draws].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def compare(
    recordings: list[Recording], contenders: Iterable[Contender], orders: int, workers: int
) -> tuple[dict[str, list[Figures]], dict[str, np.ndarray]]:
    """Every figure of every run, and the mean share of hypervolume over the budget."""
    found: dict[str, list[Figures]] = {}
    curves: dict[str, np.ndarray] = {}
    for contender in contenders:
        rows, lines = [], []
        for recording in recordings:
            total = len(recording.traces) * recording.epochs
            for order in range(orders):
                run = replay(recording, contender, order, workers)
                rows.append(figures(run))
                places = np.linspace(0, total - 1, 200).astype(int)
                shares = run.shares()
                lines.append(shares[np.minimum(places, len(shares) - 1)])
        found[contender.name] = rows
        curves[contender.name] = np.mean(lines, axis=0)
        print(f"  {contender.name}", flush=True)
    return found, curves


def table(found: dict[str, list[Figures]], base: str = "pareto") -> str:
    """Medians over all runs; and against the default rule, paired, the means of the differences."""
    lines = [
        f"| rule | {' | '.join(COLUMNS.values())} | area - {base}'s | to 95 % - {base}'s |",
        "|:---|" + "---:|" * (len(COLUMNS) + 2),
    ]
    for name, rows in found.items():
        values = {key: np.array([asdict(row)[key] for row in rows]) for key in COLUMNS}
        cells = [_shown(float(np.median(values[key]))) for key in COLUMNS]
        for key in ("area", "to_95"):
            other = np.array([asdict(row)[key] for row in found[base]])
            # One that never gets there counts as if it had needed the whole budget.
            differences = np.minimum(values[key], 1) - np.minimum(other, 1)
            low, high = interval(differences)
            cells.append(
                "" if name == base else f"{differences.mean():+.3f} ({low:+.3f}, {high:+.3f})"
            )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "never"


def draw(curves: dict[str, dict[str, np.ndarray]], path: Path) -> None:
    """The share of the hypervolume over the budget, a panel for each recording."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * len(curves), 3.6), layout="constrained")
    for place, (title, lines) in enumerate(curves.items()):
        axes = figure.add_subplot(1, len(curves), place + 1)
        for name, line in lines.items():
            strong = name == "pareto"
            axes.plot(
                np.linspace(0, 1, len(line)),
                line,
                label=name,
                lw=2.4 if strong else 1.1,
                color="black" if strong else None,
            )
        axes.set(title=title, xlabel="epochs, share of the whole sweep's", ylim=(0.7, 1.005))
        if place == 0:
            axes.set_ylabel("hypervolume, share of the whole sweep's")
            axes.legend(fontsize=7, loc="lower right")
    save(figure, path)


def main() -> None:
    """Compare, and write ``replay.md`` and ``replay.png``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--recordings", nargs="*", default=["fashion-mnist", "digits"], help="of record_sweep.py")
    add("--lcbench", action="store_true", help="the recording of record_lcbench.py as well")
    add("--orders", type=int, default=20, help="arrival orders (default: %(default)s)")
    add("--workers", type=int, default=4, help="default: %(default)s")
    add("--out", type=Path, default=Path("docs/records"))
    args = parser.parse_args()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    lines = [f"{args.workers} workers, {args.orders} arrival orders, commit {commit}."]
    curves = {}
    for name in args.recordings:
        recording = read_front_file(name)
        print(name, flush=True)
        found, curves[name] = compare(
            [recording], CONTENDERS + WITH_SEARCHER, args.orders, args.workers
        )
        size = f"{len(recording.traces)} trials of {recording.epochs} epochs"
        lines += ["", f"**{name}**, {size}:", "", table(found)]
    if args.lcbench:
        tasks = read_lcbench()
        print("lcbench", flush=True)
        found, curves["LCBench"] = compare(
            tasks, CONTENDERS, max(1, args.orders // 5), args.workers
        )
        size = f"{len(tasks)} tasks of {len(tasks[0].traces)} networks of {tasks[0].epochs} epochs"
        lines += [
            "",
            f"**LCBench**, {size}, {max(1, args.orders // 5)} orders of each:",
            "",
            table(found),
        ]
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "replay.md").write_text("\n".join(lines) + "\n")
    shown = ("fifo", "asha, accuracy", "asha, cost", "asha, scalar", "mo-asha", "pareto")
    draw(
        {k: {n: c for n, c in v.items() if n in shown} for k, v in curves.items()},
        args.out / "replay.png",
    )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
