"""The same sweep as a ``tune.Tuner``, and how to go on with one that was interrupted."""

from __future__ import annotations

import sys
from pathlib import Path

from ray import tune

from snas_tune import ParetoFront, make_tuner, search_space
from snas_tune.sweep import quiet_ray
from snas_tune.sweep.run import tuner_trainable

TRIALS, EPOCHS = (2, 1) if "--smoke" in sys.argv else (12, 12)


def main() -> None:
    """Fit a tuner, or restore it with ``--resume``, and print the front."""
    path = Path("results").resolve() / "tuner"
    if "--resume" in sys.argv:
        quiet_ray()
        tuner = tune.Tuner.restore(str(path), tuner_trainable(), resume_errored=True)
    else:
        space = search_space(
            data="digits", cells=3, channels=8, nodes=2, epochs=EPOCHS, channels_last=True
        )
        tuner = make_tuner(space, name="tuner", trials=TRIALS)
    tuner.fit()
    print(ParetoFront.read(path).table_text())


if __name__ == "__main__":
    main()
