"""A sweep as a ``tune.Tuner``, and how to go on with one that was interrupted (``--resume``)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ray import tune

from snas_tune import make_tuner, sweep_space
from snas_tune.sweep import SweepSettings, quiet_ray, sweep_result, tuner_trainable
from snas_tune.sweep.directory import claim_experiment


def main() -> int:
    """Fit a tuner, or restore it, and print the front."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="two trials of one epoch")
    parser.add_argument("--resume", action="store_true", help="go on after an interruption")
    args = parser.parse_args()
    trials, epochs = (2, 1) if args.smoke else (12, 12)
    storage = str(Path("results").resolve())
    settings = SweepSettings(name="tuner", storage_path=storage, trials=trials)
    space = sweep_space(
        data="digits", cells=3, channels=8, nodes=2, epochs=epochs, channels_last=True
    )
    path = f"{storage}/tuner"
    if args.resume:
        claim_experiment(storage, "tuner", resume=True).release()  # refuses what is not there
        quiet_ray()
        tuner = tune.Tuner.restore(path, tuner_trainable(), resume_errored=True)
    else:
        tuner = make_tuner(space, settings)
    result = sweep_result(path, tuner.fit(), trials)
    print(result.front.table_text(), *result.problems, sep="\n")
    return result.exit_status


if __name__ == "__main__":
    sys.exit(main())
