"""Look at front files in TensorBoard: write each as a log, for the Pareto tab and the others.

A sweep writes its own log while it runs; this is for front files of which that is lost, that came
from elsewhere, or that are to be seen side by side.

python examples/front_log.py results/one results/two/front.parquet --logdir logs
tensorboard --logdir logs
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from snas_tune import ParetoFront
from snas_tune.tensorboard_log.from_front import write_front


def main() -> int:
    """Write the logs. Exit status 2 if an input is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("fronts", nargs="+", help="front files, or directories that hold one")
    parser.add_argument("--logdir", type=Path, required=True, help="a folder for the logs")
    args = parser.parse_args()
    try:
        fronts = {path: ParetoFront.read(path) for path in args.fronts}
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for path, front in fronts.items():
        name = Path(path).stem if Path(path).stem != "front" else Path(path).absolute().parent.name
        target = args.logdir / name
        if target.exists():
            print(f"error: log {target} must be a new folder", file=sys.stderr)
            return 2
        print(f"{target}: {front!r}", flush=True)
        write_front(front, target, path)
    print(f"tensorboard --logdir {args.logdir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
