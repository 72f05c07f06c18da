"""SNAS: weights and logits step together on one loss under a concrete sample.

Single level, first order (Xie et al., 2019, section 2.1): one batch, one sample, one forward, one
backward, and both optimisers step. ``sampling`` says how a sample is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snas_tune.annealing import temperature_at
from snas_tune.search.methods.method import Batch, Method, StepResult, Task, fill_gradients
from snas_tune.search.sampling import Draw, choice_credit, draw_architecture, gumbel_noise
from snas_tune.space.supernet import Supernet

PUBLISHED_TRAVEL = 3e-4 * 117_300
"""Learning rate of the logits x steps, as published for 150 epochs of 782 batches."""


class Snas(Method):
    """SNAS, with its samplings; the arguments are those of :class:`Method`."""

    logits: nn.Parameter
    """Log of the unnormalised probability of each option, ``(C, K)``."""

    def __init__(self, task: Task, supernet: Supernet) -> None:
        super().__init__(task, supernet)
        config = task.config
        self.logits = nn.Parameter(self._first_logits())
        missing = ~self.mask.to(self.logits.device)
        self._missing = missing if missing.any() else None  # known once, asked twice a step
        self.logits_optimiser = torch.optim.Adam(
            [self.logits],
            lr=config.logits_learning_rate or min(0.1, PUBLISHED_TRAVEL / task.steps),
            betas=(0.5, 0.999),  # as DARTS and SNAS
            weight_decay=config.logits_decay,
        )

    def _first_logits(self) -> Tensor:
        """Drawn from a normal distribution around 0.

        SNAS draws around 1; only differences matter to a softmax, and around 0 the logits' weight
        decay pulls towards the uniform distribution.
        """
        config, runtime = self.task.config, self.task.runtime
        generator = self.task.generator("logits", 0)
        noise = torch.randn(self.mask.shape, generator=generator, dtype=torch.float64)
        # Rounded to float32 first, so that searches of all precisions start alike.
        return (config.logits_spread * noise).float().to(runtime.device, runtime.dtype)

    @property
    def optimisers(self) -> list[torch.optim.Optimizer]:
        """SGD of the weights, Adam of the logits."""
        return [self.optimiser, self.logits_optimiser]

    @property
    def masked_logits(self) -> Tensor:
        """The logits, minus infinity where a choice has no such option."""
        if self._missing is None:
            return self.logits
        return self.logits.masked_fill(self._missing, -torch.inf)

    def temperature(self, step: int) -> float:
        """Temperature of a step; after the last step, the last one's."""
        config, steps = self.task.config, self.task.steps
        return temperature_at(
            config.temperature_schedule,
            config.temperature_start,
            config.temperature_end,
            min(step, steps - 1),
            steps,
        )

    def draw(self, step: int, generator: torch.Generator) -> Draw:
        """As :meth:`Method.draw`, at the temperature of the step."""
        config, logits = self.task.config, self.masked_logits
        noise = gumbel_noise(logits.shape, generator)
        return draw_architecture(
            logits, self.temperature(step), noise, config.sampling, config.sampled_ops
        )

    def step(self, batches: Sequence[Batch], step: int) -> StepResult:
        """As :meth:`Method.step`: one batch, one sample, both optimisers."""
        (batch,) = batches
        self.supernet.train()
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        draw = self.draw(step, self.task.generator("sample", step))
        draw.sample.retain_grad()
        predicted = self.predict(batch, draw)
        cross_entropy = F.cross_entropy(predicted, batch.labels)
        penalty = self._penalty(draw, step)
        self.backward(cross_entropy + penalty)
        fill_gradients([draw.sample, self.logits])
        assert draw.sample.grad is not None
        credit = choice_credit(draw.sample, draw.sample.grad) / self.scaler.get_scale()
        self._update(step)
        right = (predicted.detach().argmax(1) == batch.labels).float().mean()
        return StepResult(cross_entropy.detach(), penalty.detach(), right, credit)

    def _penalty(self, draw: Draw, step: int) -> Tensor:
        assert draw.log_concrete is not None
        return self.task.penalty(
            draw.sample,
            draw.log_concrete,
            self.masked_logits,
            self.temperature(step),
            step / self.task.steps,
        )

    def _update(self, step: int) -> None:
        """Clip both gradients and step both optimisers."""
        self.update_weights(step)
        self.scaler.unscale_(self.logits_optimiser)
        nn.utils.clip_grad_norm_([self.logits], self.task.config.logits_clip)
        self.scaler.step(self.logits_optimiser)
        self.scaler.update()

    def choose(self, accuracy: Callable[[Sequence[int]], float]) -> list[int]:
        """The option of the largest logit, ``none`` included (SNAS section 2.4).

        Of equal logits the first option wins.
        """
        picks: list[int] = self.masked_logits.detach().argmax(-1).tolist()
        return picks

    def option_logits(self) -> Tensor:
        """As :meth:`Method.option_logits`."""
        return self.masked_logits.detach().double().cpu()

    def state_dict(self) -> dict[str, Any]:
        """As :meth:`Method.state_dict`, with the logits and their optimiser."""
        return {
            **super().state_dict(),
            "logits": self.logits.detach(),
            "logits_optimiser": self.logits_optimiser.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        super().load_state_dict(state)
        with torch.no_grad():
            self.logits.copy_(state["logits"])
        self.logits_optimiser.load_state_dict(state["logits_optimiser"])
