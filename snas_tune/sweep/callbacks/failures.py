"""Trials that fail: those that trying again cannot help, and the line that says why."""

from __future__ import annotations

import re
from pathlib import Path

from ray.tune.experiment import Trial


def failure_of(trial: Trial) -> str:
    """The one line that says why a trial failed."""
    try:  # the file here: what the storage has of it may be older
        text = Path(trial.error_file).read_text() if trial.error_file else ""
    except OSError:
        text = str(trial.get_error() or "")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    if not last or "worker process has died" in last:  # Ray goes on about all possible causes
        detail = re.search(r"Worker exit detail: ([^.]*\.)", last)
        return f"its process died{f' ({detail[1]})' if detail else ''}"
    return last


def give_up(trial: Trial) -> None:
    """Take a trial's further attempts away: they would fail as this one does."""
    trial.max_failures = 0
