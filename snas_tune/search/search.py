"""One search: steps, epochs, the report of each, the derived child, and the state that is saved."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor, nn

from snas_tune.architecture import Architecture
from snas_tune.checks import check_value, is_instance
from snas_tune.config import SearchConfig
from snas_tune.data import ImageSet
from snas_tune.results import ARCHITECTURE
from snas_tune.search.autotune import choose_implementation, recorded_implementation
from snas_tune.search.images import (
    check_same_images,
    image_record,
    images_of,
)
from snas_tune.search.kept import check_child
from snas_tune.search.methods.method import Batch, StepResult, Task
from snas_tune.search.methods.table import build_method, method_class
from snas_tune.search.penalty import Penalty, target_penalty
from snas_tune.search.report import step_text, training_report
from snas_tune.search.sampling import entropy_share
from snas_tune.search.state import FORMAT, check_state, implementation_record
from snas_tune.space.choices import check_picks, one_hot
from snas_tune.space.cost import COUNTED, Cost
from snas_tune.space.space import ImageShape, Implementation, build_space
from snas_tune.training.augment import Augmentation, augment
from snas_tune.training.batches import batch_indices, parts_of, split_images, steps_per_epoch
from snas_tune.training.diverged import Diverged
from snas_tune.training.evaluate import accuracies
from snas_tune.training.recalibrate import recalibrate
from snas_tune.training.runtime import choose_runtime
from snas_tune.training.seeds import generator_for

SAMPLES = 8
"""Architectures, at least, that are drawn to measure the supernet."""


class Search:
    """A search over one set of images.

    Args:
        config: all settings.
        images: the training images; loaded as the config says if not given.
        began: the entry ``implementation`` of the saved state from which it will go on, if any.

    Raises:
        ValueError: a setting does not fit this machine or the images; raised before any training.
    """

    def __init__(
        self, config: SearchConfig, images: ImageSet | None = None, began: object = None
    ) -> None:
        self.config = config
        self.runtime = choose_runtime(config)
        images = images_of(config, images)
        self.data = split_images(
            images,
            self.runtime.device,
            validation_fraction=config.validation_fraction,
            seed=config.seed,
            limit=config.limit_images,
            dtype=self.runtime.dtype,
        )
        self.augmentation = Augmentation(
            crop_padding=config.crop_padding, flip=config.flip, cutout=config.cutout
        )
        train = self.data.train
        self.space = build_space(config, ImageShape(train.side, train.channels, len(train.classes)))
        self.parts = parts_of(len(train), method_class(config.method).parts, config.seed)
        self.steps_per_epoch = steps_per_epoch(len(self.parts[0]), config.batch_size)
        self.steps = config.epochs * self.steps_per_epoch
        self.step = 0
        self.images = image_record(images)
        self.statistics: Mapping[str, Tensor] | None = None
        self._build_costs()
        self._build_network(choose_implementation(self.space, self.runtime, config, began))

    def _build_costs(self) -> None:
        weights = {name: w for name, w in self.config.penalty_costs.items() if w}
        costs = {name: self.space.cost(name) for name in dict.fromkeys(("flops", *weights))}
        self.flops = costs["flops"]
        self.penalty = self._penalty({name: costs[name] for name in sorted(weights)}, weights)

    def _penalty(self, costs: Mapping[str, Cost], weights: Mapping[str, float]) -> Penalty:
        config = self.config
        strength, gradient = config.penalty_strength, config.penalty_gradient
        if config.target_flops is not None:
            return target_penalty(config, self.space, self.flops)
        if strength == 0:  # then options that cost nothing are fine
            return Penalty(0.0, torch.zeros_like(self.flops.prices("linear")), gradient)
        prices = self.space.prices(costs, weights, config.penalty_form)
        return Penalty(strength, prices.to(self.runtime.device), gradient)

    def _build_network(self, implementation: Implementation) -> None:
        config = self.config
        self.implementation = implementation
        self.runtime = replace(self.runtime, channels_last=implementation.channels_last)
        with torch.random.fork_rng(devices=[]):  # torch's initialisers know only the global state
            torch.random.set_rng_state(generator_for(config.seed, "weights", 0).get_state())
            self.supernet = self.space.supernet(implementation.name)
        self.runtime.place(self.supernet)
        if config.drop_path and not self.supernet.paths:
            raise ValueError(
                f"drop_path must be 0 in space {self.space.name}, which has no paths to drop, "
                f"got {config.drop_path}"
            )
        check_child(self.space)
        task = Task(config, self.space, self.runtime, self.penalty, self.steps)
        self.method = build_method(task, self.supernet)

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return self.step // self.steps_per_epoch

    @property
    def finished(self) -> bool:
        """Whether the horizon is reached."""
        return self.step >= self.steps

    def take_step(self) -> StepResult:
        """One search step: the method's, on a batch of each part of the images.

        Raises:
            RuntimeError: the search is finished.
        """
        if self.finished:
            raise RuntimeError(f"a search of {self.steps} steps is finished, got one step more")
        batches = [self._batch(part) for part in range(len(self.parts))]
        result = self.method.step(batches, self.step)
        self.step += 1
        return result

    def _generator(self, stream: str) -> torch.Generator:
        return generator_for(self.config.seed, stream, self.step)

    def _batch(self, part: int) -> Batch:
        """The batch of a part of the images; each part has random numbers of its own."""
        config, train, rows = self.config, self.data.train, self.parts[part]
        suffix = f" {part}" if part else ""
        index = batch_indices(
            len(rows), config.batch_size, config.seed, self.step, f"order{suffix}"
        )
        index = rows[index].to(train.pixels.device)
        images = self.data.normalise(train.pixels[index], self.runtime.channels_last)
        images = augment(images, self.augmentation, self._generator(f"augment{suffix}"))
        keep = None
        if config.drop_path:
            shape = (*self.supernet.paths, config.batch_size)
            uniform = torch.rand(shape, generator=self._generator(f"drop path{suffix}"))
            keep = ((uniform >= config.drop_path) / (1 - config.drop_path)).to(images.device)
        return Batch(images, train.labels[index], keep)

    def run_epoch(self) -> dict[str, float | str | int]:
        """Search to the end of the epoch, evaluate, and report.

        Returns:
            A value for every name of :data:`snas_tune.results.METRICS`, ``architecture``, the
            columns of the architecture, and the credit of choices if the method measures it.
            ``child_accuracy`` is NaN in epochs that do not evaluate the child.

        Raises:
            Diverged: a loss, or an answer on validation images, is NaN or infinite.
        """
        start = time.perf_counter()
        first = self.step
        results = [self.take_step()]
        while self.step % self.steps_per_epoch:
            results.append(self.take_step())
        report = {
            "temperature": self.method.temperature(self.step - 1),
            **training_report(results, self.space.choices, step_text(self.method, first)),
        }
        trained = time.perf_counter()
        report |= self.evaluate()
        report["seconds"] = time.perf_counter() - start
        report["seconds_training"] = trained - start
        return report

    def evaluate(self) -> dict[str, Any]:
        """Measure supernet and child as they are now: the report's part that trains nothing.

        Raises:
            Diverged: the supernet or the child answers with NaN or infinity.
        """
        derived, self.statistics = self.derive(), None
        live = self.space.live(derived)
        logits = self.method.option_logits()
        report: dict[str, Any] = {
            "epoch": self.epoch,
            "step": self.step,
            "accuracy": self.supernet_accuracy(),
            "child_accuracy": math.nan,
            "params_with_dead": int(self.space.child_cost("params", derived, keep_unused=True)),
            "latency_ms": math.nan,
            "expected_flops": self.flops.expected(logits).item(),
            "largest_flops": self.flops.largest(),
            "entropy": entropy_share(logits).item(),
            ARCHITECTURE: live.to_json(),
            **live.columns(),
        }
        report |= {name: int(self.space.child_cost(name, live)) for name in COUNTED}
        if self.space.latency is not None:
            report["latency_ms"] = self.space.child_cost("latency_ms", live)
        if self.finished or self.epoch % self.config.child_every == 0:
            child = self.child(derived)
            report["child_accuracy"] = self.child_accuracy(child)
            self._check_finite("child_accuracy", report)
            self.statistics = dict(child.named_buffers())
        self._check_finite("accuracy", report)
        return report

    def _check_finite(self, name: str, report: Mapping[str, Any]) -> None:
        if math.isnan(report[name]):
            raise Diverged(
                f"class logits must be finite where {name} is measured, got NaN or infinity after "
                f"step {self.step} (penalty strength {self.config.penalty_strength:g})"
            )

    def derive(self) -> Architecture:
        """The architecture for which the search stands now, unused parts included.

        Raises:
            ValueError: the method chooses what is no option.
        """
        picks = list(self.method.choose(self.picks_accuracy))
        check_picks(picks, self.space.choices, f"method {self.config.method} must choose")
        return self.space.derive(picks)

    def child(self, architecture: Architecture | None = None) -> Any:
        """The child network with the supernet's weights and batch-norm statistics of its own.

        Args:
            architecture: of this space; the derived one if not given.

        Raises:
            ValueError: the architecture is of another space.
        """
        with torch.random.fork_rng(devices=[]):  # what the initialisers draw is overwritten
            child = self.space.child(self.derive() if architecture is None else architecture)
        child.inherit(self.supernet)
        self.runtime.place(child)
        config, train = self.config, self.data.train
        batches = min(config.recalibration_batches, self.steps_per_epoch)
        order = torch.randperm(len(train), generator=self._generator("recalibrate"))
        with self.runtime.numerics():
            recalibrate(
                child,
                (
                    self.data.normalise(train.pixels[index.to(train.pixels.device)])
                    for index in order[: batches * config.batch_size].split(config.batch_size)
                ),
            )
        return child

    def child_accuracy(self, child: Any) -> float:
        """Validation accuracy of a child network, by the config's metric."""
        return self.child_accuracies(child)[self.config.metric]

    def child_accuracies(self, child: Any) -> dict[str, float]:
        """Validation accuracy of a child network, by each metric."""
        check_value("child", child, is_instance(nn.Module))
        child.eval()
        return self._accuracies(child)

    def supernet_accuracy(self) -> float:
        """Validation accuracy of the supernet, a new draw of the last step's kind for each batch.

        Batches are small enough for :data:`SAMPLES` of them, as one draw would measure luck.
        """
        self.supernet.eval()
        generator = self._generator("evaluate")
        last = max(0, self.step - 1)

        def predict(images: Tensor) -> Tensor:
            draw = self.method.draw(last, generator)
            predicted: Tensor = self.supernet(images, draw.sample, None, draw.active)
            return predicted

        return self._accuracies(predict, SAMPLES)[self.config.metric]

    def picks_accuracy(self, picks: Sequence[int]) -> float:
        """Validation accuracy of the supernet under one option for each choice, by position."""
        check_picks(picks, self.space.choices, "picks must be")
        self.supernet.eval()
        sample = one_hot(picks, self.space.choices).to(self.runtime.device, self.runtime.dtype)
        active = [[pick] for pick in picks]
        found = self._accuracies(lambda images: self.supernet(images, sample, None, active))
        return found[self.config.metric]

    def _accuracies(
        self, predict: Callable[[Tensor], Tensor], batches: int = 1
    ) -> dict[str, float]:
        images = self.data.validation
        size = min(self.config.evaluation_batch_size, -(-len(images) // batches))
        return accuracies(predict, images, self.data.normalise, self.runtime, size)

    def state_dict(self) -> dict[str, Any]:
        """All that a search needs to go on bit for bit.

        Every random number follows from the seed and the step, so no generator is saved.
        """
        return {
            "format": FORMAT,
            "config": self.config.to_dict(),
            "shape": self.space.shape(),
            "step": self.step,
            "implementation": implementation_record(self.implementation, self.runtime),
            # Under names that all implementations share, so that another one may go on.
            "supernet": dict(self.supernet.named_tensors()),
            "method": self.method.state_dict(),
            "images": self.images,
            "normalise": asdict(self.data.normalise),
            "statistics": self.statistics,
        }

    def load_state_dict(self, state: Mapping[str, Any], *, same_images: bool = True) -> None:
        """Go on from a saved state of format :data:`snas_tune.search.state.FORMAT`.

        Args:
            state: the saved state.
            same_images: refuse other images of the same classes, with which it is another search.

        Raises:
            ValueError: it is of another space, method, horizon or images; the first is named.
        """
        check_state(state, self.config, self.space)
        check_same_images(state.get("images"), self.images, same=same_images)
        began = recorded_implementation(
            self.space, self.runtime, self.config, state["implementation"]
        )
        if began not in (None, self.implementation):
            self._build_network(began)
        self.supernet.load_tensors(state["supernet"])
        self.method.load_state_dict(state["method"])
        self.step = state["step"]
        self.statistics = state.get("statistics")
