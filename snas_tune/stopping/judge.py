"""Judge: applies a rule to reports as they arrive, in any order, repeated, late or missing."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from snas_tune.stopping.history import History, Report
from snas_tune.stopping.naming import short_name
from snas_tune.stopping.rules import Rule
from snas_tune.values import plain, shown


class Judge:
    """Applies a rule at the rungs of a sweep.

    - A trial is judged at the first report at or after a rung in which every objective was
      measured; until then it goes on, but not beyond the next rung. A report that skips rungs
      counts for the highest of them.
    - A trial that reports NaN or infinity at a rung has diverged, and one that measured nothing
      from a rung to the next counts as if it had. It is worse than every other one and is stopped,
      unless the rule keeps all.
    - Every trial is judged once at a rung. Repeated and late reports, also with other values,
      change nothing: a trial that was restored from an older checkpoint gets the answer that it
      got before.
    - A trial that was stopped stays stopped.
    - A trial that ends by itself is noted with the time at which it ended.

    Args:
        levels: times of the rungs, ascending, the end of the trials last.
        objectives: their number.
        rule: decides at every rung but the end. One with an attribute ``keeps_diverged`` that is
            true keeps diverged trials.
    """

    def __init__(self, levels: Sequence[float], objectives: int, rule: Rule) -> None:
        self.levels = tuple(levels)
        self.rule = rule
        self.history = History(len(self.levels), objectives)
        self.lines: list[dict[str, Any]] = []
        """All reports and decisions, as :meth:`replay` takes them."""

    def report(
        self, trial: str, time: float, costs: Sequence[float | None], niche: float = math.nan
    ) -> tuple[bool, dict[str, Any] | None]:
        """Decide whether a trial goes on.

        Args:
            trial: a name that stays the same when the sweep is resumed.
            time: how far the trial is, in the unit of the levels.
            costs: every objective, to be minimised; ``None`` where it was not measured.
            niche: see :class:`Report`.

        Returns:
            Whether it goes on, and the line for the journal if the history grew.

        Raises:
            ValueError: the rule answers neither true nor false.
        """
        rung = bisect_right(self.levels, time) - 1
        last = len(self.levels) - 1
        if rung >= self.history.stopped.get(trial, last):
            line = self.finish(trial, costs, niche) if rung == last else None
            return False, line
        reached = self.history.reached(trial)
        if rung <= reached or (None in costs and rung == reached + 1):
            return True, None
        known = _finite(costs)
        if known is None:
            return self._diverged(Report(trial, rung, (), niche, time))
        return self._decide(Report(trial, rung, known, niche, time))

    def finish(
        self,
        trial: str,
        costs: Sequence[float | None],
        niche: float = math.nan,
        time: float | None = None,
    ) -> dict[str, Any] | None:
        """Note the end of a trial that ended by itself; a line for the journal if that is new.

        Args:
            trial: as for :meth:`report`.
            costs: likewise, at its end.
            niche: likewise.
            time: when it ended; the time of the last rung if not given.
        """
        last = len(self.levels) - 1
        history, known = self.history, _finite(costs)
        over = trial in history.stopped or trial in history.ended or history.reached(trial) == last
        if over or known is None:
            return None
        if time is None or time >= self.levels[last]:
            time = self.levels[last] if time is None else time
            report = Report(trial, last, known, niche, time)
            history.add(report)
            return self._line(report, True)
        report = Report(trial, bisect_right(self.levels, time) - 1, known, niche, time)
        history.end(report)
        return self._line(report, True, ended=True)

    def _decide(self, report: Report) -> tuple[bool, dict[str, Any]]:
        self.history.add(report)
        goes_on = _answer(self.rule, self.rule(self.history, report))
        if not goes_on:
            self.history.stop(report.trial, report.rung)
        return goes_on, self._line(report, goes_on)

    def _diverged(self, report: Report) -> tuple[bool, dict[str, Any] | None]:
        if getattr(self.rule, "keeps_diverged", False):
            return True, None
        self.history.stop(report.trial, report.rung)
        return False, self._line(report, False)

    def replay(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Take over the reports and decisions of a journal.

        Raises:
            ValueError: a line is none of this judge's.
        """
        for line in lines:
            try:
                self._take(line)
            except (KeyError, TypeError, IndexError, OverflowError) as error:
                raise ValueError(f"line of the journal must be a report, got {line}") from error
            self.lines.append(dict(line))

    def _take(self, line: Mapping[str, Any]) -> None:
        report = Report(
            line["trial"],
            int(line["rung"]),
            tuple(map(float, line["costs"])),
            _or_nan(line["niche"]),
            _or_nan(line.get("time")),  # format 1 had none
        )
        if line.get("ended"):
            self.history.end(report)
        elif report.costs:
            self.history.add(report)
        if not line["goes_on"]:
            self.history.stop(report.trial, report.rung)

    def _line(self, report: Report, goes_on: bool, *, ended: bool = False) -> dict[str, Any]:
        line: dict[str, Any] = {
            "trial": report.trial,
            "rung": report.rung,
            "time": None if math.isnan(report.time) else report.time,
            "costs": list(report.costs),
            "niche": None if math.isnan(report.niche) else report.niche,
            "goes_on": goes_on,
        }
        if ended:
            line["ended"] = True
        self.lines.append(line)
        return line


def _answer(rule: Rule, value: Any) -> bool:
    """What a rule decided; also a truth value of NumPy or torch.

    Raises:
        ValueError: it is no truth value.
    """
    answer = plain(value)
    if not isinstance(answer, bool):
        raise ValueError(f"rule {short_name(rule)} must answer true or false, got {shown(value)}")
    return answer


def _finite(costs: Sequence[float | None]) -> tuple[float, ...] | None:
    """The costs; ``None`` if one was not measured, or is no finite number."""
    known = tuple(float(cost) for cost in costs if cost is not None and math.isfinite(cost))
    return known if len(known) == len(costs) else None


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)
