"""Judge: applies a rule to reports as they arrive, in any order, repeated, late or missing."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from snas_tune.stopping.history import History, Report
from snas_tune.stopping.rules import Rule


class Judge:
    """Applies a rule at the rungs of a sweep.

    - A trial is judged at the first report at or after a rung in which every objective is a finite
      number; until then it goes on. A report that skips rungs counts for the highest of them.
    - Every trial is judged once at a rung. Repeated and late reports, also with other values,
      change nothing: a trial that was restored from an older checkpoint gets the answer that it
      got before.
    - A trial that was stopped stays stopped.

    Args:
        levels: times of the rungs, ascending, the end of the trials last.
        objectives: their number.
        rule: decides at every rung but the end.
    """

    def __init__(self, levels: Sequence[float], objectives: int, rule: Rule) -> None:
        self.levels = tuple(levels)
        self.rule = rule
        self.history = History(len(self.levels), objectives)
        self.lines: list[dict[str, Any]] = []
        """All reports and decisions, as :meth:`replay` takes them."""

    def report(
        self, trial: str, time: float, costs: Sequence[float], niche: float = math.nan
    ) -> tuple[bool, dict[str, Any] | None]:
        """Decide whether a trial goes on.

        Args:
            trial: a name that stays the same when the sweep is resumed.
            time: how far the trial is, in the unit of the levels.
            costs: every objective, to be minimised; NaN where it was not measured.
            niche: see :class:`Report`.

        Returns:
            Whether it goes on, and the line for the journal if the history grew.
        """
        rung = bisect_right(self.levels, time) - 1
        last = len(self.levels) - 1
        if rung >= self.history.stopped.get(trial, last):
            line = self._end(trial, costs, niche) if rung == last else None
            return False, line
        if rung <= self.history.reached(trial) or not all(map(math.isfinite, costs)):
            return True, None
        return self._decide(Report(trial, rung, tuple(map(float, costs)), niche))

    def finish(
        self, trial: str, costs: Sequence[float], niche: float = math.nan
    ) -> dict[str, Any] | None:
        """Note the end of a trial that ended by itself; a line for the journal if that is new."""
        return None if trial in self.history.stopped else self._end(trial, costs, niche)

    def _end(self, trial: str, costs: Sequence[float], niche: float) -> dict[str, Any] | None:
        last = len(self.levels) - 1
        known = self.history.reached(trial) == last or trial in self.history.stopped
        if known or not all(map(math.isfinite, costs)):
            return None
        report = Report(trial, last, tuple(map(float, costs)), niche)
        self.history.add(report)
        return self._line(report, True)

    def _decide(self, report: Report) -> tuple[bool, dict[str, Any]]:
        self.history.add(report)
        goes_on = self.rule(self.history, report)
        if not goes_on:
            self.history.stop(report.trial, report.rung)
        return goes_on, self._line(report, goes_on)

    def replay(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Take over the reports and decisions of a journal.

        Raises:
            ValueError: a line is none of this judge's.
        """
        for line in lines:
            try:
                niche = math.nan if line["niche"] is None else float(line["niche"])
                report = Report(line["trial"], int(line["rung"]), tuple(line["costs"]), niche)
                self.history.add(report)
                if not line["goes_on"]:
                    self.history.stop(report.trial, report.rung)
                self.lines.append(dict(line))
            except (KeyError, TypeError, IndexError) as error:
                raise ValueError(f"line of the journal must be a report, got {line}") from error

    def _line(self, report: Report, goes_on: bool) -> dict[str, Any]:
        line = {
            "trial": report.trial,
            "rung": report.rung,
            "costs": list(report.costs),
            "niche": None if math.isnan(report.niche) else report.niche,
            "goes_on": goes_on,
        }
        self.lines.append(line)
        return line
