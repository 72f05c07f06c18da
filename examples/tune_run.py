"""A sweep with ``tune.run`` spelled out: a SNAS search is an ordinary Tune trainable.

``--resume`` goes on with one that was interrupted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ray import tune

from snas_tune import ParetoScheduler, ParetoSearch, SnasTrainable, sweep_space
from snas_tune.sweep import quiet_ray, sweep_callbacks, sweep_result, trial_name
from snas_tune.sweep.directory import can_restore, claim_experiment


def main() -> int:
    """Run it and print the front."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="two trials of one epoch")
    parser.add_argument("--resume", action="store_true", help="go on after an interruption")
    args = parser.parse_args()
    trials, epochs = (2, 1) if args.smoke else (12, 12)
    storage = str(Path("results").resolve())
    space = sweep_space(
        data="digits", cells=3, channels=8, nodes=2, epochs=epochs, channels_last=True, threads=1
    )
    path = f"{storage}/tune-run"
    # Refuses a name that is taken. The driver among the callbacks then claims the sweep again.
    claim_experiment(storage, "tune-run", resume=args.resume).release()
    quiet_ray()
    outcome = tune.run(
        SnasTrainable,
        name="tune-run",
        config=space,
        num_samples=trials,
        search_alg=ParetoSearch(concurrent=2, whole=("epoch", epochs)),
        scheduler=ParetoScheduler(time_attr="epoch", max_t=epochs, grace_period=1),
        resources_per_trial={"cpu": 1},
        storage_path=storage,
        checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1, checkpoint_at_end=True),
        trial_name_creator=lambda trial: trial_name(trial.config),
        trial_dirname_creator=lambda trial: trial_name(trial.config),
        callbacks=sweep_callbacks(trials, space=space),
        max_failures=1,  # of trials whose process died
        raise_on_failed_trial=False,
        resume="AUTO+ERRORED" if args.resume and can_restore(path) else None,
        verbose=0,
    )
    result = sweep_result(path, outcome, trials)
    print(result.front.table_text(), *result.problems, sep="\n")
    return result.exit_status


if __name__ == "__main__":
    sys.exit(main())
