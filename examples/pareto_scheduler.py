"""``ParetoScheduler`` on a trainable of your own: it stops trials that cannot join the front.

The trainable fits a polynomial of some degree to noisy points by gradient descent. It reports two
metrics: the error, which falls with the steps, and the number of coefficients.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ray import tune

from snas_tune import ParetoScheduler
from snas_tune.sweep import quiet_ray


class Fit(tune.Trainable):
    """Least squares by gradient descent, ten steps an iteration."""

    def setup(self, config: dict[str, Any]) -> None:
        """Draw the points and begin at zero."""
        generator = np.random.default_rng(0)
        x = generator.uniform(-1, 1, 200)
        self.design = np.polynomial.chebyshev.chebvander(x, config["degree"])
        self.target = np.sin(4 * x) + generator.normal(0, 0.1, 200)
        self.weights = np.zeros(config["degree"] + 1)

    def step(self) -> dict[str, float]:
        """Go ten steps down and report both metrics."""
        for _ in range(10):
            gradient = self.design.T @ (self.design @ self.weights - self.target) / len(self.target)
            self.weights -= self.config["rate"] * gradient
        error = np.mean((self.design @ self.weights - self.target) ** 2)
        return {"error": float(error), "coefficients": float(len(self.weights))}


if __name__ == "__main__":
    quiet_ray()
    scheduler = ParetoScheduler(["error", "coefficients"], ["min", "min"], max_t=27, niche=None)
    outcome = tune.run(
        Fit,
        config={"degree": tune.grid_search([1, 3, 5, 7, 9]), "rate": tune.grid_search([0.1, 0.8])},
        scheduler=scheduler,
        stop={"training_iteration": 27},
        storage_path=str(Path("results").resolve()),
        verbose=0,
    )
    for trial in outcome.trials:
        last = trial.last_result
        end = f"{last['training_iteration']:2d} of 27 iterations"
        print(f"{last['coefficients']:.0f} coefficients, error {last['error']:.4f}, {end}")
