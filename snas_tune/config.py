"""SearchConfig: every setting of one SNAS search, documented, checked, and recorded with its front.

Its fields are flat, so that each is a key of a Tune search space under the same name.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from snas_tune.annealing import SCHEDULES
from snas_tune.checks import (
    CHANNELS,
    COUNT,
    COUNT_OR_ZERO,
    FLAG,
    NOT_NEGATIVE,
    OPEN_SHARE,
    POSITIVE,
    SHARE,
    TEXT,
    at_least,
    at_most,
    check_fields,
    check_value,
    choice,
)
from snas_tune.documents import documented
from snas_tune.setting_checks import (
    A_FLOP,
    ACCURACIES,
    BAD_IMAGES,
    COST_WEIGHTS,
    DARTS_OPS,
    FITS,
    MOST_NODES,
    MOST_OPS,
    MOST_SIDE,
    MOST_STEPS,
    MOST_THREADS,
    NAMES,
    PENALTY_FORMS,
    PENALTY_GRADIENTS,
    PRECISIONS,
    SAMPLINGS,
    SETTINGS,
    STEMS,
    SUPERNETS,
    check_together,
)
from snas_tune.text_checks import DEVICE, TEXT_PATH
from snas_tune.values import perhaps, plain, shown

SINCE_FORMAT_1: dict[str, str | None] = {
    "space": "cell",
    "method": "snas",
    "bad_images": "error",
    "fit": "crop",
    "metric": "accuracy",
    "data_place": None,
}
"""Settings that the first configs did not have, and their one meaning then. They are left out of
the JSON where they have it, so that a search keeps its fingerprint, and a trial its name."""

VARIED = ("penalty_strength", "temperature_schedule", "temperature_start", "temperature_end")
"""Settings that a sweep varies unless it is told otherwise; HParams always shows them."""

PLACES = ("data_root", "data_cache", "data_place")
"""Settings that say only where things lie: with others a search is the same one."""

PATHS = (*PLACES, "latency_table")
"""Settings that are always paths."""


@documented
@dataclass(frozen=True, kw_only=True, slots=True)
class SearchConfig:
    """One SNAS search. All of it is recorded with the front, so a row can be searched again.

    Raises:
        ValueError: a value breaks its field's rule; the message names the field and the value.
    """

    space: Annotated[str, TEXT] = "cell"
    """The architectures that are searched: ``cell``, or ``module:name`` of a
    :class:`snas_tune.space.space.Space` of the user's."""

    method: Annotated[str, TEXT] = "snas"
    """How they are searched: ``snas``, or ``module:name`` of a
    :class:`snas_tune.search.methods.method.Method` of the user's."""

    penalty_strength: Annotated[float, NOT_NEGATIVE] = 0.0
    """Weight of the normalised cost in the loss (the paper's eta). 0 ignores cost."""

    penalty_form: Annotated[str, choice(PENALTY_FORMS)] = "linear"
    """``linear`` or ``log`` in the cost of each op, see :mod:`snas_tune.search.penalty`."""

    penalty_gradient: Annotated[str, choice(PENALTY_GRADIENTS)] = "sample"
    """How the penalty reaches the logits: through the reparameterised ``sample``, by the exact
    ``expectation``, or by the ``score`` function."""

    penalty_costs: Annotated[Mapping[str, float], COST_WEIGHTS] = field(
        default_factory=lambda: {"flops": 1.0, "params": 1.0, "memory": 1.0}
    )
    """Weight of each cost (``flops``, ``params``, ``memory``, ``latency_ms``) in the penalty; each
    is normalised first and the weights are scaled to sum to 1. SNAS sums the first three. Memory is
    the one by which pooling and skip connections cost anything, so without it no strength empties a
    cell."""

    target_flops: Annotated[float | None, POSITIVE, A_FLOP] = None
    """A budget in multiply-adds of one image. If given, the penalty is on FLOPs alone
    (``penalty_costs`` and ``penalty_form`` do not matter) and acts only while the derived child, or
    the expectation, is above what is allowed, which falls to the budget during the search."""

    latency_table: Annotated[str | None, TEXT_PATH] = None
    """Path of a table measured by ``snas_tune.space.latency``; needed for ``latency_ms``."""

    temperature_schedule: Annotated[str, choice(tuple(SCHEDULES))] = "linear"
    """Kind of the annealing: ``linear``, ``exponential``, ``cosine`` or ``constant``."""

    temperature_start: Annotated[float, POSITIVE] = 1.0
    """Temperature of the first step (published: 1)."""

    temperature_end: Annotated[float, POSITIVE] = 0.03
    """Temperature of the last step (published: 0.03). A ``constant`` schedule ignores it."""

    sampling: Annotated[str, choice(SAMPLINGS)] = "concrete"
    """Sample of a step: ``concrete``, ``gdas``, ``dsnas`` or ``top_k``. ``concrete``: every op
    runs, weighted by a concrete sample (SNAS). The others run few ops, so a step costs a fraction:
    ``gdas`` and ``dsnas`` one of each edge, with a straight-through or a score-function gradient;
    ``top_k`` the ``sampled_ops`` heaviest."""

    sampled_ops: Annotated[int, at_least(2), at_most(MOST_OPS)] = 2
    """Ops of an edge that run in a step, for ``top_k``."""

    seed: Annotated[int, COUNT_OR_ZERO] = 0
    """Fixes the initial weights, the split, the data order, augmentation and every sample."""

    data: Annotated[str, TEXT_PATH] = "digits"
    """``digits``, ``cifar10``, ``cifar100``, ``fashion-mnist``, a folder, archive or table,
    ``module:function`` or ``hf:name``. Folders and archives hold one folder for each class, tables
    paths and labels; see docs/data.md."""

    data_root: Annotated[str, TEXT_PATH] = "data"
    """Folder of named data sets, downloaded if missing."""

    data_cache: Annotated[str | None, TEXT_PATH] = None
    """Folder for decoded images, shared by the trials of a machine. No cache if not given, and none
    of ``module:function``, which may answer anew every time."""

    data_place: Annotated[str | None, TEXT_PATH] = None
    """Where the images of ``data`` lie now, if they were moved; a resume sets it. The search keeps
    its name, which is by ``data``."""

    image_size: Annotated[int | None, at_least(4), at_most(MOST_SIDE)] = None
    """Side of the images in pixels; the source's own if not given."""

    image_channels: Annotated[int | None, CHANNELS] = None
    """1 (grey) or 3 (RGB), or the number that arrays have; the source's own if not given."""

    fit: Annotated[str, choice(FITS)] = "crop"
    """How images become square: ``crop``, ``pad`` or ``squash``. Their largest centred square is
    taken, or the whole image between black bands, or the whole image with another ratio."""

    bad_images: Annotated[str, choice(BAD_IMAGES)] = "error"
    """Images that cannot be read: ``error`` or ``skip``. ``error`` names them all before the first
    trial; ``skip`` leaves them out and says how many and which."""

    limit_images: Annotated[int | None, COUNT] = None
    """Use a stratified subset of so many images; all if not given."""

    validation_fraction: Annotated[float, OPEN_SHARE] = 0.2
    """Share of the training images that is held out to measure accuracy. The test set is never
    used by a search."""

    metric: Annotated[str, choice(ACCURACIES)] = "accuracy"
    """How accuracy is measured: ``accuracy`` or ``balanced_accuracy``. The first is the share of
    the validation images that are right, the second the mean of the classes' shares."""

    cells: Annotated[int, at_least(3), at_most(1000)] = 8
    """Depth. Reduction cells stand at 1/3 and 2/3 of it."""

    channels: Annotated[int, at_least(2), at_most(65_536)] = 16
    """Channels of the first cells; each reduction cell doubles them."""

    partial_channels: Annotated[int, COUNT, at_most(65_536)] = 1
    """K of PC-DARTS: each op sees 1/K of the channels. The others bypass it (published: 4), in the
    children as well. ``channels`` must be a multiple of it."""

    nodes: Annotated[int, COUNT, at_most(MOST_NODES)] = 4
    """Intermediate nodes of a cell."""

    ops: Annotated[tuple[str, ...], NAMES] = DARTS_OPS
    """Candidate ops, names of :data:`snas_tune.space.cell.ops.OPS`."""

    ops_module: Annotated[str | None, TEXT] = None
    """A module of the user's that adds ops to ``OPS``; imported wherever the search runs."""

    stem: Annotated[str, choice(STEMS)] = "cifar"
    """``cifar`` (one 3x3 convolution) or ``imagenet`` (three with stride 2)."""

    epochs: Annotated[int, COUNT, at_most(MOST_STEPS)] = 150
    """Length of the search. Both schedules span exactly this horizon."""

    batch_size: Annotated[int, at_least(2), at_most(MOST_STEPS)] = 64
    """Images per step."""

    evaluation_batch_size: Annotated[int, COUNT, at_most(MOST_STEPS)] = 250
    """Images per forward pass of an evaluation."""

    weights_learning_rate: Annotated[float, POSITIVE] = 0.025
    """Of SGD, at the first step; falls along a cosine."""

    weights_learning_rate_end: Annotated[float, NOT_NEGATIVE] = 0.001
    """Of SGD, at the last step."""

    weights_momentum: Annotated[float, SHARE] = 0.9
    """Of SGD."""

    weights_decay: Annotated[float, NOT_NEGATIVE] = 3e-4
    """L2 of SGD."""

    weights_clip: Annotated[float, POSITIVE] = 5.0
    """Largest norm of the weights' gradient."""

    logits_learning_rate: Annotated[float | None, POSITIVE] = None
    """Of Adam. If not given: the published 3e-4 x 117,300 steps, divided by this search's steps
    (at most 0.1), as Adam moves a logit by about its learning rate per step."""

    logits_decay: Annotated[float, NOT_NEGATIVE] = 1e-3
    """L2 of Adam."""

    logits_clip: Annotated[float, POSITIVE] = 10.0
    """Largest norm of the logits' gradient."""

    logits_spread: Annotated[float, NOT_NEGATIVE] = 0.01
    """Standard deviation of the initial logits."""

    drop_path: Annotated[float, SHARE] = 0.0
    """Probability that an image loses an edge in a step (published search: 0.3)."""

    crop_padding: Annotated[int, COUNT_OR_ZERO, at_most(MOST_SIDE)] = 0
    """Random crops out of the image padded by this many pixels (CIFAR: 4)."""

    flip: Annotated[bool, FLAG] = False
    """Mirror half of the images. Wrong for digits and text."""

    cutout: Annotated[int, COUNT_OR_ZERO, at_most(MOST_SIDE)] = 0
    """Side of a square set to zero at a random place; 0 for none (CIFAR: 16)."""

    child_every: Annotated[int, COUNT, at_most(MOST_STEPS)] = 1
    """Derive and evaluate the child every so many epochs, and always after the last."""

    recalibration_batches: Annotated[int, COUNT, at_most(MOST_STEPS)] = 20
    """Training batches that set the child's batch-norm statistics."""

    supernet: Annotated[str, choice(SUPERNETS)] = "auto"
    """Implementation of the supernet: ``plain``, op by op, or ``fused``, all edges of a node at
    once. Both compute the same function, up to rounding. ``auto`` takes the one that is measured to
    be the fastest for this shape on this machine; plain under compilation."""

    activation_checkpointing: Annotated[bool, FLAG] = False
    """Keep only what goes from cell to cell and compute the rest again in the backward pass: the
    same results with less memory, for a forward pass more."""

    device: Annotated[str, DEVICE] = "auto"
    """``auto`` (a GPU if there is one), or a torch device such as ``cpu`` or ``cuda:0``."""

    threads: Annotated[int | None, COUNT, at_most(MOST_THREADS)] = None
    """Threads of torch on the CPU, set in the process of a trial; torch's own choice if not given.
    It is part of what fixes results."""

    precision: Annotated[str, choice(PRECISIONS)] = "float32"
    """``float32``, or autocast to ``bfloat16`` or ``float16``. ``float64`` is slower and for
    comparisons: rounding is then too small for a short search to tell one implementation of
    the supernet, or one number of threads, from another."""

    channels_last: Annotated[bool, FLAG] = False
    """Keep images and feature maps in channels-last memory format."""

    compile: Annotated[bool, FLAG] = False
    """Run the supernet through torch.compile."""

    def __post_init__(self) -> None:
        for name in ("data", *PATHS):
            path = getattr(self, name)
            if isinstance(path, os.PathLike):  # JSON knows only its text
                object.__setattr__(self, name, os.fspath(path))
        check_fields(self)
        object.__setattr__(self, "ops", tuple(self.ops))
        costs = {name: plain(weight) for name, weight in self.penalty_costs.items()}
        object.__setattr__(self, "penalty_costs", costs)
        check_together(self)

    @property
    def images_at(self) -> str:
        """Where the images are read: ``data``, unless they were moved."""
        return self.data if self.data_place is None else self.data_place

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> SearchConfig:
        """A config from its fields by name.

        Raises:
            ValueError: a name is not a field.
        """
        check_value("settings", values, SETTINGS)
        known = {f.name for f in dataclasses.fields(SearchConfig)}
        unknown = sorted(set(values) - known)
        if unknown:
            hints = dict.fromkeys(perhaps(name, sorted(known)) for name in unknown)
            hint = "; ".join(filter(None, hints)) or f"SearchConfig has {sorted(known)}"
            raise ValueError(f"unknown settings {shown(unknown)}; {hint}")
        renamed = {"supernet": "fused"} if values.get("supernet") == "fast" else {}  # until 0.1
        return SearchConfig(**{**values, **renamed})

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, of types that JSON knows."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name, meaning in SINCE_FORMAT_1.items():
            if values[name] == meaning:
                del values[name]
        return {**values, "ops": list(self.ops), "penalty_costs": dict(self.penalty_costs)}

    def to_json(self) -> str:
        """The fields as one line of JSON, sorted, equal for equal configs."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    def fingerprint(self) -> str:
        """Six hexadecimal digits that tell this config from others of a sweep.

        Where things lie (:data:`PLACES`) is left out.
        """
        values = {k: v for k, v in self.to_dict().items() if k not in PLACES}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:6]
