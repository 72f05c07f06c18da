"""How a search runs on the device at hand: precision, memory format, compilation, with fallbacks.

A setting that the device cannot do falls back to plain float32 eager, with one line of explanation
in the log, so that one config serves a laptop and a cluster.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from snas_tune.config import SearchConfig
from snas_tune.space.cell.kernels import bindings as native

log = logging.getLogger(__name__)

FORMS = {
    "fast channels-last": (True, True),
    "fast": (True, False),
    "plain channels-last": (False, True),
    "plain": (False, False),
}
"""How a supernet may be computed, by name: whether fast, and whether in channels-last format. What
is likely to be the fastest comes first."""


def choose_device(name: str) -> torch.device:
    """The device of that name; ``auto`` is a GPU if there is one, else the CPU.

    Raises:
        ValueError: torch knows no such device, or this machine has none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device must be one of this machine, got {name!r} ({reason})") from error
    return device


@dataclass(frozen=True, slots=True)
class Runtime:
    """What was chosen for a search."""

    device: torch.device
    autocast: torch.dtype | None
    """Data type of autocast; none if not given."""

    channels_last: bool
    compile: bool
    dtype: torch.dtype = torch.float32
    """Data type of weights and images."""

    fast: bool = False
    """Whether the supernet is that of :mod:`snas_tune.space.cell.fused.cell`."""

    @property
    def form(self) -> str:
        """The supernet's form, of :data:`FORMS`."""
        return next(k for k, form in FORMS.items() if form == (self.fast, self.channels_last))

    def in_form(self, form: str) -> Runtime:
        """The same runtime with the supernet in another form."""
        fast, channels_last = FORMS[form]
        return replace(self, fast=fast, channels_last=channels_last)

    @property
    def native(self) -> bool:
        """Whether the fast form runs through the native kernels, not through torch's operators."""
        plain = self.autocast is None and not self.compile
        return plain and native.available(self.device, self.dtype)

    @contextlib.contextmanager
    def numerics(self) -> Iterator[None]:
        """Of a forward pass: :meth:`deterministic`, and autocast."""
        with self.deterministic(), contextlib.ExitStack() as stack:
            if self.autocast is not None:
                stack.enter_context(torch.autocast(self.device.type, self.autocast))
            yield

    @contextlib.contextmanager
    def deterministic(self) -> Iterator[None]:
        """On a GPU only deterministic kernels, as one seed fixes a search; also for backward."""
        with contextlib.ExitStack() as stack:
            if self.device.type == "cuda":
                stack.enter_context(torch.backends.cudnn.flags(deterministic=True, benchmark=False))
            yield

    def scaler(self) -> torch.amp.GradScaler:
        """Loss scaling for float16; does nothing for the other precisions."""
        enabled = self.autocast is torch.float16
        return torch.amp.GradScaler(self.device.type, enabled=enabled)

    def place(self, network: nn.Module) -> nn.Module:
        """The network on the device, its convolutions in the memory format."""
        network = network.to(self.device, self.dtype)
        if self.channels_last:
            for module in network.modules():  # other weights of four dimensions are no images
                if isinstance(module, nn.Conv2d):
                    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network


def choose_runtime(config: SearchConfig) -> Runtime:
    """Decide what the config's settings mean on this machine; log each fallback.

    What ``auto`` means for the supernet depends on its shape, see
    :func:`snas_tune.search.autotune.choose_form`; here it is plain.
    """
    device = choose_device(config.device)
    autocast = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(config.precision)
    dtype = torch.float64 if config.precision == "float64" else torch.float32
    if autocast is torch.float16 and device.type != "cuda":
        log.warning("precision float16 needs a GPU; on %s the search uses float32", device.type)
        autocast = None
    # What runs differs from step to step, and the second pass of a checkpoint from the first.
    compiles = config.sampling == "concrete" and not config.activation_checkpointing
    if config.compile and not compiles:
        log.warning(
            "compile needs sampling concrete and no activation_checkpointing; the search is eager"
        )
    runtime = Runtime(device, autocast, config.channels_last, config.compile and compiles, dtype)
    if config.supernet != "fast":
        return runtime
    # The native kernels read pixel by pixel.
    return replace(runtime, fast=True, channels_last=config.channels_last or runtime.native)


class CompiledOrEager:
    """A module through ``torch.compile`` that falls back to eager if the first call fails."""

    def __init__(self, module: nn.Module, backend: str = "inductor") -> None:
        self._eager = module
        self._call: Callable[..., Tensor] = torch.compile(module, backend=backend)
        self._proven = False

    def __call__(self, *arguments: Tensor | None) -> Tensor:
        try:
            result = self._call(*arguments)
        except Exception as error:
            if self._proven:
                raise
            reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            log.warning("torch.compile failed, so the search runs eager: %s", reason[:200])
            self._call = self._eager
            result = self._call(*arguments)
        self._proven = True
        return result
