"""How a search runs on the device at hand: precision, memory format, compilation, with fallbacks.

A setting that the device cannot do falls back to plain float32 eager, with one line of explanation
in the log, so that one config serves a laptop and a cluster.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from snas_tune.checks import check_value, is_instance
from snas_tune.config import SearchConfig
from snas_tune.files import first_line

log = logging.getLogger(__name__)


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
        reason = first_line(error)
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
    """Decide what the config's settings mean on this machine; log each fallback."""
    check_value("config", config, is_instance(SearchConfig))
    device = choose_device(config.device)
    autocast = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(config.precision)
    dtype = torch.float64 if config.precision == "float64" else torch.float32
    if autocast is torch.float16 and device.type != "cuda":
        log.warning("precision float16 needs a GPU; on %s the search uses float32", device.type)
        autocast = None
    # Other samplings run other options in each step, and the second pass of a checkpoint differs
    # from the first: neither can be compiled once.
    compiles = config.sampling == "concrete" and not config.activation_checkpointing
    if config.compile and not compiles:
        log.warning(
            "compile needs sampling concrete and no activation_checkpointing; the search is eager"
        )
    return Runtime(device, autocast, config.channels_last, config.compile and compiles, dtype)


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
            reason = first_line(error)[:200]
            log.warning("torch.compile failed, so the search runs eager: %s", reason)
            self._call = self._eager
            result = self._call(*arguments)
        self._proven = True
        return result
