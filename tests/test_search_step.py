"""A search step by hand: what the paper and the config say, written out without the package's own
step, and what an epoch reports of it.
"""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from conftest import TINY
from torch import nn

from snas_tune.config import SAMPLINGS, SearchConfig
from snas_tune.search.sampling import gumbel_noise
from snas_tune.search.search import Search
from snas_tune.space.cell.cost import cell_cost, genotype_cost
from snas_tune.space.cell.genotype import cell_edges
from snas_tune.space.cost import COUNTED
from snas_tune.training.augment import Augmentation, augment
from snas_tune.training.batches import batch_indices
from snas_tune.training.runtime import CompiledOrEager
from snas_tune.training.seeds import generator_for

SETTINGS = {
    "drop_path": 0.3,
    "crop_padding": 1,
    "flip": True,
    "cutout": 3,
    "penalty_strength": 0.8,
    "temperature_start": 2.0,
    "temperature_end": 0.3,
    "weights_decay": 0.02,
    "logits_decay": 0.03,
    "weights_clip": 0.9,
    "logits_clip": 0.02,
    "seed": 3,
}
"""Every setting of the step at a value that would show if it were ignored."""


class StepByHand:
    """The search of a config in plain torch, from the same first weights."""

    def __init__(self, search: Search) -> None:
        self.config, self.data = search.config, search.data
        self.net = copy.deepcopy(search.supernet)
        self.weights = list(self.net.parameters())
        self.logits = search.method.logits.detach().clone()
        self.steps = search.config.epochs * (len(self.data.train) // search.config.batch_size)
        self.momenta = [torch.zeros_like(w) for w in self.weights]
        self.first = torch.zeros_like(self.logits)
        self.second = torch.zeros_like(self.logits)
        tables = [cell_cost(name, search.space.candidates).table for name in COUNTED]
        shares = [table / table.mean(1).sum() for table in tables]
        self.prices = (sum(shares) / len(COUNTED)).float()

    def take(self, step: int) -> dict[str, torch.Tensor]:
        config, net = self.config, self.net
        index = batch_indices(len(self.data.train), config.batch_size, config.seed, step)
        pixels, labels = self.data.train.pixels[index], self.data.train.labels[index]
        images = (pixels.float() - self.data.normalise.mean) / self.data.normalise.deviation
        augmentation = Augmentation(
            crop_padding=config.crop_padding, flip=config.flip, cutout=config.cutout
        )
        images = augment(images, augmentation, generator_for(config.seed, "augment", step))
        edges = len(cell_edges(config.nodes))
        uniform = torch.rand(
            config.cells,
            edges,
            config.batch_size,
            generator=generator_for(config.seed, "drop path", step),
        )
        keep = (uniform >= config.drop_path).float() / (1 - config.drop_path)
        start, end = config.temperature_start, config.temperature_end
        temperature = start + (end - start) * step / (self.steps - 1)
        noise = gumbel_noise(self.logits.shape, generator_for(config.seed, "sample", step))
        perturbed = (self.logits + noise.float()) / temperature
        runs = torch.ones_like(perturbed)
        if config.sampling != "concrete":
            count = 2 if config.sampling == "top_k" else 1
            runs = (perturbed >= perturbed.sort(-1).values[..., -count, None]).float()
        sample = perturbed.exp() * runs / (perturbed.exp() * runs).sum(-1, keepdim=True)
        sample.requires_grad_()
        # All ops run here, those of weight 0 as well: they add nothing, and the gradient of their
        # weight in the sample, which the search cannot know, is left out.
        predicted = net.train()(images, sample, keep)
        cross_entropy = F.cross_entropy(predicted, labels)
        penalty = config.penalty_strength * (self.prices * sample).sum()
        by_sample, *grads = torch.autograd.grad(cross_entropy, [sample, *self.weights])
        by_sample = by_sample * runs + config.penalty_strength * self.prices
        sample = sample.detach()
        self._move_weights(grads, step)
        self._move_logits(self._by_logits(sample, perturbed, by_sample, temperature), step)
        return {
            "cross_entropy": cross_entropy.detach(),
            "penalty": penalty.detach(),
            "credit": (sample * by_sample).sum(-1),
        }

    def _by_logits(self, sample, perturbed, by_sample, temperature):
        """From the gradient of the sample to that of the logits, written out."""
        if self.config.sampling == "dsnas":  # reward times grad log p
            reward = (sample * by_sample).sum(-1, keepdim=True)
            return reward * (sample - self.logits.softmax(-1))
        # The softmax whose Jacobian counts: of gdas, the relaxed one that it did not run.
        z = perturbed.softmax(-1) if self.config.sampling == "gdas" else sample
        return z * (by_sample - (z * by_sample).sum(-1, keepdim=True)) / temperature

    def _move_weights(self, grads, step: int) -> None:
        config = self.config
        norm = torch.cat([g.flatten() for g in grads]).norm()
        assert norm > config.weights_clip  # or the clip would not be tested
        high, low = config.weights_learning_rate, config.weights_learning_rate_end
        rate = low + (high - low) * (1 + math.cos(math.pi * step / (self.steps - 1))) / 2
        for weight, momentum, gradient in zip(self.weights, self.momenta, grads, strict=True):
            clipped = gradient * config.weights_clip / norm
            momentum.mul_(config.weights_momentum).add_(clipped + config.weights_decay * weight)
            weight.data -= rate * momentum

    def _move_logits(self, gradient, step: int) -> None:
        config = self.config
        norm = gradient.norm()
        assert norm > config.logits_clip
        gradient = gradient * config.logits_clip / norm + config.logits_decay * self.logits
        rate = min(0.1, 3e-4 * 117_300 / self.steps)
        self.first = 0.5 * self.first + 0.5 * gradient
        self.second = 0.999 * self.second + 0.001 * gradient**2
        first = self.first / (1 - 0.5 ** (step + 1))
        second = self.second / (1 - 0.999 ** (step + 1))
        self.logits -= rate * first / (second.sqrt() + 1e-8)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("implementation", ["plain", "fused"])
def test_three_steps_are_those_taken_by_hand(implementation, sampling):
    settings = {**TINY, "epochs": 6, **SETTINGS, "supernet": implementation, "sampling": sampling}
    search = Search(SearchConfig(**settings))
    by_hand = StepByHand(search)
    for step in range(3):
        ours, theirs = search.take_step(), by_hand.take(step)
        for name, value in theirs.items():
            torch.testing.assert_close(getattr(ours, name), value, rtol=1e-4, atol=1e-6, msg=name)
    torch.testing.assert_close(search.method.logits.data, by_hand.logits, rtol=2e-3, atol=2e-5)
    moved = dict(by_hand.net.named_tensors())
    for name, value in search.supernet.named_tensors():
        if sampling == "concrete" or ".ops." not in name or name.endswith("weight"):
            torch.testing.assert_close(value, moved[name], rtol=2e-3, atol=2e-5, msg=name)


def test_the_default_rate_of_the_logits_is_the_published_travel_over_the_steps():
    short = Search(SearchConfig(**TINY))
    assert short.method.logits_optimiser.param_groups[0]["lr"] == 0.1
    long = Search(SearchConfig(**{**TINY, "epochs": 200}))
    assert long.method.logits_optimiser.param_groups[0]["lr"] == pytest.approx(35.19 / long.steps)
    own = Search(SearchConfig(**TINY, logits_learning_rate=0.0123))
    assert own.method.logits_optimiser.param_groups[0]["lr"] == 0.0123


def test_an_epochs_report_is_the_mean_of_its_steps():
    config = SearchConfig(**{**TINY, "epochs": 2}, **SETTINGS)
    search, by_hand = Search(config), StepByHand(Search(config))
    report = search.run_epoch()
    taken = [by_hand.take(step) for step in range(search.steps_per_epoch)]
    for name in ("cross_entropy", "penalty"):
        mean = torch.stack([step[name] for step in taken]).mean().item()
        assert report[name] == pytest.approx(mean, rel=1e-2)
    assert report["loss"] == pytest.approx(report["cross_entropy"] + report["penalty"])
    credit = torch.stack([step["credit"] for step in taken]).mean(0)
    assert report["credit/reduction/1-2"] == pytest.approx(credit[3].item(), rel=0.1, abs=1e-3)
    last = search.steps_per_epoch - 1
    assert report["temperature"] == pytest.approx(2.0 - 1.7 * last / (search.steps - 1))
    probabilities = search.method.logits.detach().double().softmax(-1)
    expected = search.flops.fixed + (search.flops.table * probabilities).sum().item()
    assert report["expected_flops"] == pytest.approx(expected)
    whole = genotype_cost("params", search.derive(), search.space.skeleton, keep_dead=True)
    assert report["params_with_dead"] == whole > report["params"]


def test_a_childs_statistics_are_the_mean_over_as_many_training_batches_as_asked():
    search = Search(SearchConfig(**{**TINY, "recalibration_batches": 2}))
    search.take_step()
    child = search.child()
    order = torch.randperm(
        len(search.data.train), generator=generator_for(search.config.seed, "recalibrate", 1)
    )
    stem = child.stem["cifar"]
    means = []
    for number in range(2):
        index = order[number * 16 : (number + 1) * 16]
        images = search.data.normalise(search.data.train.pixels[index])
        means.append(stem[0](images).mean((0, 2, 3)))
    torch.testing.assert_close(stem[1].running_mean, sum(means) / 2, rtol=1e-4, atol=1e-6)
    assert stem[1].num_batches_tracked == 2


def first_convolution(search: Search) -> tuple[nn.Conv2d, list[torch.Tensor]]:
    seen: list[torch.Tensor] = []
    layer = next(m for m in search.supernet.modules() if isinstance(m, nn.Conv2d))
    layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    return layer, seen


def test_autocast_computes_in_the_precision_that_was_asked_for():
    for precision, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
        search = Search(SearchConfig(**TINY, precision=precision))
        _, seen = first_convolution(search)
        search.take_step()
        assert seen[0].dtype == dtype


def test_channels_last_is_the_format_that_the_layers_see(noise_images):
    for asked in (True, False):
        settings = {**TINY, "limit_images": None, "channels_last": asked, "supernet": "plain"}
        search = Search(SearchConfig(**settings), noise_images)
        _, seen = first_convolution(search)
        search.take_step()
        assert seen[0].is_contiguous(memory_format=torch.channels_last) == asked


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # inductor's own
def test_compilation_is_asked_for_or_not():
    for asked in (True, False):
        search = Search(SearchConfig(**TINY, compile=asked))
        assert isinstance(search.method.forward, CompiledOrEager) == asked
        assert not (asked and search.implementation.name == "fused")


@pytest.mark.parametrize("settings", [{"sampling": "gdas"}, {"activation_checkpointing": True}])
def test_what_cannot_be_compiled_runs_eager_with_one_line(settings, caplog):
    search = Search(SearchConfig(**TINY, compile=True, supernet="plain", **settings))
    assert search.method.forward is search.supernet
    assert [r.getMessage() for r in caplog.records] == [
        "compile needs sampling concrete and no activation_checkpointing; the search is eager"
    ]


def test_streams_of_random_numbers_differ_by_name_and_by_step():
    streams = [("order", 0), ("order", 1), ("other", 0), ("sampl", 0), ("sample", 0)]
    drawn = {torch.rand((), generator=generator_for(0, *stream)).item() for stream in streams}
    assert len(drawn) == len(streams)


def test_an_answer_that_is_no_number_is_an_error_and_no_accuracy():
    search = Search(SearchConfig(**TINY))
    search.take_step()
    with torch.no_grad():
        search.supernet.classifier.bias.fill_(math.nan)
    with pytest.raises(RuntimeError, match=r"^class logits must be finite where child_accuracy is"):
        search.run_epoch() if search.step % search.steps_per_epoch == 0 else search.evaluate()


def test_the_supernet_is_measured_by_several_samples(monkeypatch):
    search = Search(SearchConfig(**{**TINY, "evaluation_batch_size": 250}))
    seen = []
    search.supernet.register_forward_hook(lambda module, inputs, output: seen.append(inputs[1]))
    search.supernet_accuracy()
    assert len(seen) >= 8
    assert len({sample.flatten()[0].item() for sample in seen}) == len(seen)
