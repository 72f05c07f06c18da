"""The same sweep with ``tune.run`` spelled out: a SNAS search is an ordinary Tune trainable."""

from __future__ import annotations

import sys
from pathlib import Path

from ray import tune

from snas_tune import ParetoFront, SnasTrainable, search_space
from snas_tune.sweep import make_searcher, quiet_ray, sweep_callbacks, trial_name

TRIALS, EPOCHS = (2, 1) if "--smoke" in sys.argv else (12, 12)


def main() -> None:
    """Run it and print the front."""
    quiet_ray()
    storage = Path("results").resolve()
    tune.run(
        SnasTrainable,
        name="tune-run",
        config=search_space(
            data="digits",
            cells=3,
            channels=8,
            nodes=2,
            epochs=EPOCHS,
            channels_last=True,
            threads=1,
        ),
        num_samples=TRIALS,
        search_alg=make_searcher("tpe", concurrent=2),
        resources_per_trial={"cpu": 1},
        storage_path=str(storage),
        checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1, checkpoint_at_end=True),
        trial_dirname_creator=lambda trial: trial_name(trial.config),
        callbacks=sweep_callbacks(TRIALS),
        reuse_actors=True,
        verbose=0,
    )
    print(ParetoFront.read(storage / "tune-run").table_text())


if __name__ == "__main__":
    main()
