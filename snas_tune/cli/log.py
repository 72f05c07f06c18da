"""``snas-tune log``: front files as TensorBoard logs."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True, kw_only=True)
class Log:
    """Write front files as TensorBoard logs, for the Pareto tab and the others.

    For front files whose log is lost or that come from elsewhere: a sweep writes its own log.
    """

    fronts: Annotated[
        Positional[tuple[str, ...]], arg(metavar="FRONT [FRONT ...]", help_behavior_hint="")
    ]
    """Front files, or directories of sweeps."""

    logdir: Annotated[Path, arg(metavar="DIR")]
    """A folder for the logs, one for each front, named after it."""

    def run(self) -> int:
        """Write the logs.

        Raises:
            ValueError: a front file cannot be read, or a log is there already.
        """
        from snas_tune.front import ParetoFront
        from snas_tune.tensorboard_log.from_front import write_front

        if not self.fronts:
            raise ValueError("fronts must name one front file or more, got none")
        fronts = {path: ParetoFront.read(path) for path in self.fronts}
        for path, front in fronts.items():
            target = self.logdir / log_name(Path(path))
            if target.exists():
                raise ValueError(f"log {target} must be a new folder")
            print(f"{target}: {front!r}", flush=True)
            write_front(front, target, path)
        print(shlex.join(["tensorboard", "--logdir", str(self.logdir)]))
        return 0


def log_name(path: Path) -> str:
    """The name of a front's log: the file's, or its folder's if it is called as sweeps call it."""
    return path.stem if path.stem != "front" else path.absolute().parent.name
