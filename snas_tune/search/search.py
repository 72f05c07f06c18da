"""One SNAS search: the step, the epoch, the derived child, and the state that is saved.

Single level, first order (SNAS section 2.1): one batch, one sample, one forward, one backward, and
both optimisers step on the same loss.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snas_tune.annealing import SCHEDULES, temperature_at
from snas_tune.config import SearchConfig
from snas_tune.data import ImageSet
from snas_tune.search.autotune import begun_form, choose_form, form_record
from snas_tune.search.penalty import Penalty, TargetPenalty, op_prices
from snas_tune.search.report import StepResult, training_report
from snas_tune.search.sampling import (
    Draw,
    draw_architecture,
    edge_credit,
    entropy_share,
    gumbel_noise,
)
from snas_tune.search.state import FORMAT, check_state, load_momenta, momenta_of
from snas_tune.space.cell.child import ChildNetwork
from snas_tune.space.cell.fused.cell import fused_supernet
from snas_tune.space.cell.genotype import Genotype
from snas_tune.space.cell.ops import import_ops
from snas_tune.space.cell.supernet import Supernet, genotype_of, skeleton_of
from snas_tune.space.cost import COUNTED, CostTable, cost_table, genotype_cost
from snas_tune.space.latency import read_latencies
from snas_tune.training.augment import augment
from snas_tune.training.batches import batch_indices, load_images, search_data
from snas_tune.training.diverged import SearchDiverged
from snas_tune.training.evaluate import accuracy
from snas_tune.training.recalibrate import recalibrate
from snas_tune.training.runtime import CompiledOrEager, choose_runtime
from snas_tune.training.seeds import generator_for

SAMPLES = 8
"""Architectures, at least, that are drawn to measure the supernet."""

PUBLISHED_TRAVEL = 3e-4 * 117_300
"""Learning rate of the logits x steps, as published for 150 epochs of 782 batches."""


class Search:
    """A SNAS search over one set of images.

    Args:
        config: all settings.
        images: the training images; loaded as the config says if not given.
        form: the entry ``form`` of the saved state that it will go on from, if there is one.

    Raises:
        ValueError: a setting does not fit this machine or the images; raised before any training.
    """

    def __init__(
        self, config: SearchConfig, images: ImageSet | None = None, form: object = None
    ) -> None:
        self.config = config
        import_ops(config.ops_module)
        self.runtime = choose_runtime(config)
        images = load_images(config) if images is None else images
        self.data = search_data(images, config, self.runtime.device)
        train = self.data.train
        self.skeleton = skeleton_of(
            config,
            image_size=train.side,
            image_channels=train.channels,
            classes=len(train.classes),
        )
        self.steps_per_epoch = len(train) // config.batch_size
        self.steps = config.epochs * self.steps_per_epoch
        self.step = 0
        self._build_costs()
        self.runtime = choose_form(self.runtime, config, self.skeleton, form)
        self._build_network()

    def _build_costs(self) -> None:
        config = self.config
        self.latency = read_latencies(config.latency_table) if config.latency_table else None
        weights = {name: w for name, w in config.penalty_costs.items() if w}
        tables = {
            name: cost_table(name, self.skeleton, config.nodes, config.ops, self.latency)
            for name in {"flops", *weights}
        }
        self.flops = tables["flops"]
        self.penalty = self._penalty([tables[name] for name in sorted(weights)], weights)

    def _penalty(self, tables: list[CostTable], weights: Mapping[str, float]) -> Penalty:
        config = self.config
        strength, gradient = config.penalty_strength, config.penalty_gradient
        if config.target_flops is not None:
            return TargetPenalty(strength, gradient, self.flops, config.target_flops)
        if strength == 0:  # then ops that cost nothing are fine
            return Penalty(0.0, torch.zeros_like(self.flops.per_type()), gradient)
        prices = op_prices(tables, weights, config.penalty_form)
        return Penalty(strength, prices.to(self.runtime.device), gradient)

    def _build_network(self) -> None:
        config = self.config
        with torch.random.fork_rng(devices=[]):  # torch's initialisers know only the global state
            torch.random.set_rng_state(generator_for(config.seed, "weights", 0).get_state())
            build = fused_supernet if self.runtime.fast else Supernet
            self.supernet = build(config, self.skeleton)
        self.supernet.spread_logits(config.logits_spread, generator_for(config.seed, "logits", 0))
        self.runtime.place(self.supernet)
        self.weights_optimiser = torch.optim.SGD(
            self.supernet.weights(),
            lr=config.weights_learning_rate,
            momentum=config.weights_momentum,
            weight_decay=config.weights_decay,
        )
        self.logits_optimiser = torch.optim.Adam(
            [self.supernet.logits],
            lr=config.logits_learning_rate or min(0.1, PUBLISHED_TRAVEL / self.steps),
            betas=(0.5, 0.999),  # as DARTS and SNAS
            weight_decay=config.logits_decay,
        )
        self.scaler = self.runtime.scaler()
        self._forward: Callable[..., Tensor] = (
            CompiledOrEager(self.supernet) if self.runtime.compile else self.supernet
        )

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return self.step // self.steps_per_epoch

    @property
    def finished(self) -> bool:
        """Whether the horizon is reached."""
        return self.step >= self.steps

    def temperature(self, step: int) -> float:
        """Temperature of a step; after the last step, the last one's."""
        c = self.config
        return temperature_at(
            c.temperature_schedule,
            c.temperature_start,
            c.temperature_end,
            min(step, self.steps - 1),
            self.steps,
        )

    def weights_learning_rate(self, step: int) -> float:
        """Learning rate of SGD at a step: a cosine from the first to the last."""
        start, end = self.config.weights_learning_rate, self.config.weights_learning_rate_end
        return SCHEDULES["cosine"](start, end, step / max(1, self.steps - 1))

    def take_step(self) -> StepResult:
        """One search step: one batch, one sample, both optimisers.

        Raises:
            RuntimeError: the search is finished.
        """
        if self.finished:
            raise RuntimeError(f"a search of {self.steps} steps is finished, got one step more")
        images, labels, keep = self._batch()
        logits, temperature = self.supernet.logits, self.temperature(self.step)
        noise = gumbel_noise(logits.shape, self._generator("sample"))
        self.supernet.train()
        self.weights_optimiser.zero_grad()
        self.logits_optimiser.zero_grad()
        draw = self._draw(temperature, noise)
        draw.sample.retain_grad()
        with self.runtime.numerics():
            predicted = self._forward(images, draw.sample, keep, draw.active)
        # Of autocast's types the loss is computed in float32.
        cross_entropy = F.cross_entropy(predicted.to(self.runtime.dtype), labels)
        done = self.step / self.steps
        penalty = self.penalty(draw.sample, draw.log_concrete, logits, temperature, done)
        with self.runtime.deterministic():
            self.scaler.scale(cross_entropy + penalty).backward()
        _fill_gradients([draw.sample, *self.supernet.parameters()])
        assert draw.sample.grad is not None
        credit = edge_credit(draw.sample, draw.sample.grad) / self.scaler.get_scale()
        self._update()
        self.step += 1
        right = (predicted.detach().argmax(1) == labels).float().mean()
        return StepResult(cross_entropy.detach(), penalty.detach(), right, credit)

    def _draw(self, temperature: float, noise: Tensor) -> Draw:
        c = self.config
        return draw_architecture(
            self.supernet.logits, temperature, noise, c.sampling, c.sampled_ops
        )

    def _generator(self, stream: str) -> torch.Generator:
        return generator_for(self.config.seed, stream, self.step)

    def _batch(self) -> tuple[Tensor, Tensor, Tensor | None]:
        config, train = self.config, self.data.train
        index = batch_indices(len(train), config.batch_size, config.seed, self.step)
        index = index.to(train.pixels.device)
        images = self.data.normalise(train.pixels[index], self.runtime.channels_last)
        images = augment(images, config, self._generator("augment"))
        keep = None
        if config.drop_path:
            shape = (config.cells, self.supernet.logits.shape[1], config.batch_size)
            uniform = torch.rand(shape, generator=self._generator("drop path"))
            keep = ((uniform >= config.drop_path) / (1 - config.drop_path)).to(images.device)
        return images, train.labels[index], keep

    def _update(self) -> None:
        """Clip both gradients and step both optimisers."""
        config = self.config
        self.weights_optimiser.param_groups[0]["lr"] = self.weights_learning_rate(self.step)
        for optimiser in (self.weights_optimiser, self.logits_optimiser):
            self.scaler.unscale_(optimiser)
        nn.utils.clip_grad_norm_(self.supernet.weights(), config.weights_clip)
        nn.utils.clip_grad_norm_([self.supernet.logits], config.logits_clip)
        for optimiser in (self.weights_optimiser, self.logits_optimiser):
            self.scaler.step(optimiser)
        self.scaler.update()

    def run_epoch(self) -> dict[str, float | str | int]:
        """Search to the end of the epoch, evaluate, and report.

        Returns:
            A value for every name of :data:`snas_tune.results.METRICS`, ``genotype``, and the
            credit of every edge as ``credit/<cell>/<source>-<target>``. ``child_accuracy`` is NaN
            in epochs that do not evaluate the child.

        Raises:
            SearchDiverged: a loss, or an answer on validation images, is NaN or infinite.
        """
        start = time.perf_counter()
        first = self.step
        results = [self.take_step()]
        while self.step % self.steps_per_epoch:
            results.append(self.take_step())
        report = {
            "temperature": self.temperature(self.step - 1),
            **training_report(results, self.config.nodes, self._settings_from(first)),
        }
        trained = time.perf_counter()
        report |= self.evaluate()
        report["seconds"] = time.perf_counter() - start
        report["seconds_training"] = trained - start
        return report

    def _settings_from(self, first: int) -> Callable[[int], str]:
        """What a step of an epoch was taken with, for messages; ``first`` is the epoch's first."""

        def settings(number: int) -> str:
            step = first + number
            rate = self.weights_learning_rate(step)
            return (
                f"step {step} (penalty strength {self.config.penalty_strength:g}, temperature "
                f"{self.temperature(step):.4g}, learning rate {rate:.4g})"
            )

        return settings

    def evaluate(self) -> dict[str, Any]:
        """Measure supernet and child as they are now: the report's part that trains nothing.

        Raises:
            SearchDiverged: the supernet or the child answers with NaN or infinity.
        """
        raw = self.derive()
        live = self.skeleton.live(raw)
        report: dict[str, Any] = {
            "epoch": self.epoch,
            "step": self.step,
            "accuracy": self.supernet_accuracy(),
            "child_accuracy": math.nan,
            "params_with_dead": int(genotype_cost("params", raw, self.skeleton, keep_dead=True)),
            "latency_ms": math.nan,
            "expected_flops": self.flops.expected(self.supernet.logits.detach().double()).item(),
            "largest_flops": self.flops.largest(),
            "entropy": entropy_share(self.supernet.logits).item(),
            "edges": len(live.normal.edges) + len(live.reduction.edges),
            "genotype": live.to_json(),
        }
        report |= {name: int(genotype_cost(name, live, self.skeleton)) for name in COUNTED}
        if self.latency is not None:
            report["latency_ms"] = genotype_cost(
                "latency_ms", live, self.skeleton, latency=self.latency
            )
        if self.finished or self.epoch % self.config.child_every == 0:
            report["child_accuracy"] = self.child_accuracy(self.child())
            self._check_finite("child_accuracy", report)
        self._check_finite("accuracy", report)
        return report

    def _check_finite(self, name: str, report: Mapping[str, Any]) -> None:
        if math.isnan(report[name]):
            raise SearchDiverged(
                f"class logits must be finite where {name} is measured, got NaN or infinity after "
                f"step {self.step} (penalty strength {self.config.penalty_strength:g})"
            )

    def derive(self) -> Genotype:
        """The cells that the logits choose now, dead parts still there."""
        return genotype_of(self.supernet.logits, self.config.ops, self.config.nodes)

    def child(self, genotype: Genotype | None = None) -> ChildNetwork:
        """The child network with the supernet's weights and batch-norm statistics of its own.

        Args:
            genotype: of this search space; the derived one if not given.
        """
        with torch.random.fork_rng(devices=[]):  # what the initialisers draw is overwritten
            child = ChildNetwork(genotype or self.derive(), self.skeleton, affine=False)
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

    def child_accuracy(self, child: ChildNetwork) -> float:
        """Validation top-1 of a child network."""
        child.eval()
        return self._accuracy(lambda images, _: child(images))

    def supernet_accuracy(self) -> float:
        """Validation top-1 of the supernet, a new sample at the present temperature each batch.

        Batches are small enough for :data:`SAMPLES` of them, as one sample would measure luck.
        """
        self.supernet.eval()
        generator = self._generator("evaluate")
        temperature = self.temperature(max(0, self.step - 1))

        def predict(images: Tensor, _: int) -> Tensor:
            noise = gumbel_noise(self.supernet.logits.shape, generator)
            draw = self._draw(temperature, noise)
            predicted: Tensor = self.supernet(images, draw.sample, None, draw.active)
            return predicted

        return self._accuracy(predict, SAMPLES)

    def _accuracy(self, predict: Callable[[Tensor, int], Tensor], batches: int = 1) -> float:
        most = -(-len(self.data.validation) // batches)
        size = min(self.config.evaluation_batch_size, most)
        return accuracy(predict, self.data.validation, self.data, self.runtime, size)

    def state_dict(self) -> dict[str, Any]:
        """All that a search needs to go on bit for bit.

        Every random number follows from the seed and the step, so no generator is saved.
        """
        return {
            "format": FORMAT,
            "config": self.config.to_dict(),
            "skeleton": asdict(self.skeleton),
            "step": self.step,
            "form": form_record(self.runtime),
            # Under the plain form's names, so that either form may go on.
            "supernet": dict(self.supernet.named_tensors()),
            "momenta": momenta_of(self.supernet, self.weights_optimiser),
            "logits_optimiser": self.logits_optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            ValueError: it is of a newer format or of another search space; the message names the
                first difference.
        """
        check_state(state, self.config, self.skeleton)
        begun = begun_form(self.runtime, self.config, state.get("form"))
        if begun not in (None, self.runtime):
            self.runtime = begun
            self._build_network()
        self.supernet.load_tensors(state["supernet"])
        load_momenta(self.supernet, self.weights_optimiser, state["momenta"])
        self.logits_optimiser.load_state_dict(state["logits_optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        self.step = state["step"]


def _fill_gradients(tensors: Iterable[Tensor]) -> None:
    """A gradient of 0 for what did not run, so that momentum and decay go on in either form."""
    for tensor in tensors:
        if tensor.grad is None:
            tensor.grad = torch.zeros_like(tensor)
