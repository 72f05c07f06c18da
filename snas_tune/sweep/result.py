"""How a sweep ended: its front, what failed, and its pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from ray.tune.experiment import Trial
from ray.tune.result import DONE

from snas_tune.architecture import read_architecture
from snas_tune.arguments import checked
from snas_tune.checks import COUNT, Check, at_most, is_instance
from snas_tune.files import write_whole
from snas_tune.front import FILE_NAME, FrontFile, ParetoFront
from snas_tune.front.storage import join
from snas_tune.pictures import architecture_svg, front_figure, save
from snas_tune.results import (
    ARCHITECTURE,
    CHILD_ACCURACY,
    EPOCH,
    FLOPS,
    HYPERVOLUME,
    LARGEST_FLOPS,
)
from snas_tune.sweep.callbacks.failures import failure_of
from snas_tune.sweep.callbacks.trials import sweep_trial
from snas_tune.sweep.settings import MOST_TRIALS
from snas_tune.text_checks import A_FOLDER, PATH

OUTCOME = Check(
    lambda value: hasattr(getattr(value, "_experiment_analysis", value), "trials"),
    "the return value of tune.run or of Tuner.fit",
)

ERROR = Trial.ERROR
"""The status of a trial that failed."""

INTERRUPTED = 130
"""Exit status of a program that Ctrl-C ended."""


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What a sweep ended with."""

    path: str
    """The experiment's directory in the storage."""

    front: ParetoFront
    """Every child of every trial, and the front of them; empty if no trial got so far."""

    failed: dict[str, str]
    """The reason of each failed trial, by its name. The others' results are whole."""

    trials: int
    """How many trials were asked for."""

    ended: int
    """How many of them ended, failed ones included; fewer if the sweep was interrupted."""

    stopped: int = 0
    """How many of them a rule stopped before their end."""

    saved: float = 0.0
    """The share of all epochs that was not run, as trials were stopped."""

    hypervolume: float = 0.0
    """Of all children, see :data:`snas_tune.results.HYPERVOLUME`."""

    largest_flops: float = 0.0
    """The reference point's cost: multiply-adds of one image, which no child can exceed."""

    @property
    def problems(self) -> list[str]:
        """Lines for standard error; none if every trial ended well."""
        lines = [f"failed: {trial}: {reason}" for trial, reason in self.failed.items()]
        if self.failed:
            whole = "; the others' results are whole" if len(self.failed) < self.trials else ""
            lines.append(f"{len(self.failed)} of {self.trials} trials failed{whole}")
        if self.ended < self.trials:
            lines.append(
                f"interrupted: {self.ended} of {self.trials} trials ended; "
                "go on with the same command and --resume"
            )
        return lines

    @property
    def exit_status(self) -> int:
        """For a program: 130 if interrupted, 1 if a trial failed, else 0."""
        if self.ended < self.trials:
            return INTERRUPTED
        return 1 if self.failed else 0


def ended_line(result: SweepResult, *, heard: bool) -> str:
    """That a resume had nothing to do; empty if it had.

    Args:
        result: of the resume.
        heard: whether a trial reported anything.
    """
    if heard or result.failed or result.ended < result.trials:
        return ""
    return (
        f"all {result.trials} trials had ended and nothing was run: ask for more with --trials "
        "(trials=...)"
    )


@checked
def sweep_result(
    path: Annotated[str | Path, PATH],
    outcome: Annotated[Any, OUTCOME],
    trials: Annotated[int, COUNT, at_most(MOST_TRIALS)],
) -> SweepResult:
    """The result of a sweep from what Tune returns.

    Args:
        path: the experiment's directory.
        outcome: of ``tune.run`` or of ``Tuner.fit``.
        trials: how many trials were asked for.

    Raises:
        ValueError: the front file cannot be read.
    """
    analysis = getattr(outcome, "_experiment_analysis", outcome)
    found = analysis.trials
    erred = [trial for trial in found if trial.status == ERROR]
    failed = {sweep_trial(trial).name: failure_of(trial) for trial in erred}
    front = ParetoFront(FrontFile(join(str(path), FILE_NAME)).table)
    ended = sum(_ended(trial) for trial in found)
    left = [share for trial in found if (share := _share_left(trial))]
    last = [trial.last_result or {} for trial in found]
    return SweepResult(
        str(path),
        front,
        failed,
        trials,
        ended,
        stopped=len(left),
        saved=sum(left) / trials,
        hypervolume=max((report.get(HYPERVOLUME, 0.0) for report in last), default=0.0),
        largest_flops=max((report.get(LARGEST_FLOPS, 0.0) for report in last), default=0.0),
    )


def _ended(trial: Trial) -> bool:
    """Whether a trial failed or reached its end; Tune calls interrupted ones terminated, too."""
    return bool(trial.status == ERROR or (trial.last_result or {}).get(DONE))


def _share_left(trial: Trial) -> float:
    """The share of its epochs that a trial did not run because it was stopped."""
    report = trial.last_result or {}
    if trial.status == ERROR or not report.get(DONE):
        return 0.0
    epoch: int = report[EPOCH]
    return 1 - epoch / sweep_trial(trial).search.epochs


@checked
def write_pictures(
    result: Annotated[SweepResult, is_instance(SweepResult)],
    directory: Annotated[str | Path, PATH, A_FOLDER],
) -> list[Path]:
    """Draw the front and its architectures into a local folder, in place of earlier ones there.

    Returns:
        The files: ``front.svg``, ``front.png``, and ``architectures/<place>-<trial>-<epoch>.svg``
        from the cheapest to the largest.
    """
    directory = Path(directory)
    drawn = directory / "architectures"
    earlier = set(drawn.glob("[0-9][0-9]*-*.svg"))
    front = result.front
    figure = front_figure(front.marked())
    files = []
    for suffix in ("svg", "png"):
        files.append(directory / f"front.{suffix}")
        save(figure, files[-1])
    for place, row in enumerate(front.distinct):
        title = f"{100 * row[CHILD_ACCURACY]:.1f} %, {row[FLOPS] / 1e6:.3f} MFLOPs"
        path = drawn / f"{place:02d}-{row['trial']}-{row[EPOCH]}.svg"
        write_whole(path, architecture_svg(read_architecture(row[ARCHITECTURE]), title=title))
        files.append(path)
    for path in earlier.difference(files):
        path.unlink()
    return files
