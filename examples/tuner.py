"""The same sweep as a ``tune.Tuner``, and how to go on with one that was interrupted.

The exit status is 0, or 1 if a trial failed, 2 if an input is wrong, 130 if it was interrupted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ray import tune

from snas_tune import make_tuner, sweep_space
from snas_tune.sweep import quiet_ray, sweep_result, tuner_trainable
from snas_tune.sweep.experiment import check_experiment


def main() -> int:
    """Fit a tuner, or restore it with ``--resume``, and print the front."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="two trials of one epoch")
    parser.add_argument("--resume", action="store_true", help="go on after an interruption")
    args = parser.parse_args()
    trials, epochs = (2, 1) if args.smoke else (12, 12)
    path = Path("results").resolve() / "tuner"
    space = sweep_space(
        data="digits", cells=3, channels=8, nodes=2, epochs=epochs, channels_last=True
    )
    try:
        if args.resume:
            check_experiment(str(path.parent), path.name, resume=True)
            quiet_ray()
            tuner = tune.Tuner.restore(str(path), tuner_trainable(), resume_errored=True)
        else:
            tuner = make_tuner(
                space, name=path.name, storage_path=str(path.parent), trials=trials, rule="pareto"
            )
        result = sweep_result(path, tuner.fit(), trials)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    print(result.front.table_text())
    for line in result.problems:
        print(line, file=sys.stderr)
    return result.exit_status


if __name__ == "__main__":
    sys.exit(main())
