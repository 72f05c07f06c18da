"""Step time, memory and kernels of the supernet's implementations, side by side in one run.

    python benchmarks/supernet_step.py                        # C=16, 8 cells, batch 64, 32 pixels
    python benchmarks/supernet_step.py --size demo --forms fused one-hot
    python benchmarks/supernet_step.py --reference PATH/cnn   # with a public DARTS supernet

A step is forward, backward and both optimisers. All forms take one step in every round, in turn, so
that whatever else the machine does meets all of them; the ratio of two forms is the median over the
rounds of the ratio within a round. ``peak`` is the growth of a fresh process's largest resident set
over three steps (on a GPU, of what torch allocated), ``kept`` what a forward pass leaves allocated
for the backward pass. Kernels are the operators that torch's profiler sees in a step and that touch
data, plus the native kernels. Below the table stand the multiply-adds of a step and the time that
they would take at the rate of a large matrix product measured in the same run.

``--reference`` takes a directory with ``model_search.py`` of https://github.com/quark0/darts or a
fork; that code is not part of this repository.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rates import floor_of
from rates import seconds as seconds_of
from torch import Tensor, nn

from snas_tune.config import SearchConfig
from snas_tune.search.autotune import choose_implementation
from snas_tune.search.sampling import draw_architecture, gumbel_noise
from snas_tune.space.cell.kernels import bindings as native
from snas_tune.space.cell.kernels.buffers import BUFFERS
from snas_tune.space.choices import option_mask
from snas_tune.space.space import ImageShape, build_space
from snas_tune.training.runtime import CompiledOrEager, choose_runtime
from snas_tune.training.seeds import generator_for

SIZES = {
    "paper": {"channels": 16, "cells": 8, "nodes": 4, "batch": 64, "side": 32, "colours": 3},
    "demo": {"channels": 8, "cells": 3, "nodes": 3, "batch": 64, "side": 8, "colours": 3},
    "small": {"channels": 8, "cells": 5, "nodes": 3, "batch": 64, "side": 32, "colours": 3},
}
"""What is timed; ``paper`` is the search of DARTS and SNAS on CIFAR-10."""

FORMS: dict[str, dict[str, Any]] = {
    "plain": {"supernet": "plain"},
    "plain channels-last": {"supernet": "plain", "channels_last": True},
    "plain bfloat16": {"supernet": "plain", "precision": "bfloat16", "channels_last": True},
    "plain compiled": {"supernet": "plain", "compile": True},
    "fused torch": {"supernet": "fused"},
    "fused bfloat16": {"supernet": "fused", "precision": "bfloat16", "channels_last": True},
    "fused": {"supernet": "fused"},
    "fused checkpointing": {"supernet": "fused", "activation_checkpointing": True},
    "plain one-hot": {"supernet": "plain", "channels_last": True, "sampling": "gdas"},
    "one-hot": {"supernet": "fused", "sampling": "gdas"},
    "one-hot dsnas": {"supernet": "fused", "sampling": "dsnas"},
    "top-2": {"supernet": "fused", "sampling": "top_k", "sampled_ops": 2},
    "partial 1/4": {"supernet": "fused", "partial_channels": 4},
    "partial 1/4 one-hot": {"supernet": "fused", "partial_channels": 4, "sampling": "gdas"},
}
"""Settings of each row. ``fused`` is through the native kernels where there are any."""

BASE = "fused"
"""The row whose time is 1."""

VIEWS = (
    *("view", "reshape", "as_strided", "permute", "transpose", "t", "select", "slice", "narrow"),
    *("unsqueeze", "squeeze", "expand", "detach", "alias", "split", "unbind", "lift_fresh"),
    *("empty", "empty_like", "empty_strided", "resolve_conj", "resolve_neg", "result_type"),
    *("is_nonzero", "item", "_local_scalar_dense"),
)
"""Operators that touch no data."""


class Timed:
    """One form of the supernet with its optimisers."""

    def __init__(
        self, form: str, size: dict[str, int], device: torch.device, reference: Path | None
    ) -> None:
        self.form, self.size = form, size
        torch.manual_seed(0)
        shape = (size["batch"], size["colours"], size["side"], size["side"])
        self.images = torch.randn(shape).to(device)
        self.labels = torch.randint(10, (size["batch"],)).to(device)
        self.number = 0
        if form == "reference":
            assert reference is not None
            self.net, logits = _reference(reference, size, device)
        else:
            self.net = self._ours(form)
            self.logits = nn.Parameter(torch.zeros(self.space_shape, device=device))
            logits = [self.logits]
        chosen = {id(parameter) for parameter in logits}
        weights = [p for p in self.net.parameters() if id(p) not in chosen]
        self.optimisers = (
            torch.optim.SGD(weights, lr=0.025, momentum=0.9, weight_decay=3e-4),
            torch.optim.Adam(logits, lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3),
        )

    def _ours(self, form: str) -> Any:
        size = self.size
        self.config = SearchConfig(
            cells=size["cells"],
            channels=size["channels"],
            nodes=size["nodes"],
            device=str(self.images.device),
            batch_size=size["batch"],
            **FORMS[form],
        )
        space = build_space(self.config, ImageShape(size["side"], size["colours"], 10))
        self.space_shape = option_mask(space.choices).shape
        runtime = choose_runtime(self.config)
        implementation = choose_implementation(space, runtime, self.config)
        self.runtime = replace(runtime, channels_last=implementation.channels_last)
        if self.runtime.channels_last:
            self.images = self.images.contiguous(memory_format=torch.channels_last)
        net = self.runtime.place(space.supernet(implementation.name))
        self.call = CompiledOrEager(net) if self.runtime.compile else net
        return net

    @contextlib.contextmanager
    def _numerics(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            if self.form == "fused torch":
                stack.enter_context(native.switched_off())
            if self.form != "reference":
                stack.enter_context(self.runtime.numerics())
            yield

    def step(self) -> None:
        """Forward, backward, both optimisers."""
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        self.loss().backward()
        for optimiser in self.optimisers:
            optimiser.step()

    def loss(self) -> Tensor:
        """The forward pass."""
        with self._numerics():
            return F.cross_entropy(self._forward().float(), self.labels)

    def _forward(self) -> Tensor:
        if self.form == "reference":
            return self.net(self.images)
        self.number += 1
        logits, c = self.logits, self.config
        noise = gumbel_noise(logits.shape, generator_for(0, "sample", self.number))
        draw = draw_architecture(logits, 0.7, noise, c.sampling, c.sampled_ops)
        return self.call(self.images, draw.sample, None, draw.active)


def _reference(
    path: Path, size: dict[str, int], device: torch.device
) -> tuple[nn.Module, list[nn.Parameter]]:
    """The public supernet; it calls ``cuda()`` where it is built, which does nothing here."""
    sys.path.insert(0, str(path))
    original = torch.Tensor.cuda
    torch.Tensor.cuda = lambda tensor, *_, **__: tensor  # type: ignore[assignment]
    try:
        import model_search  # type: ignore[import-not-found]

        network = model_search.Network(
            size["channels"], 10, size["cells"], None, size["nodes"], size["nodes"]
        )
    finally:
        torch.Tensor.cuda = original  # type: ignore[method-assign]
    network.to(device)
    logits = [nn.Parameter(alpha.detach().to(device)) for alpha in network.arch_parameters()]
    network.alphas_normal, network.alphas_reduce = logits
    return network, logits


def kernels(form: Timed) -> int:
    """Operators that run in a step's forward and backward pass, native kernels included."""
    calls = 0
    original: Callable[..., None] = native.call

    def counted(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        original(*arguments)

    native.call = counted
    try:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            form.step()
    finally:
        native.call = original
    events = profile.events()
    leaves = [e for e in events if e.name.startswith("aten::") and not e.cpu_children]
    return calls + sum(e.name.removeprefix("aten::") not in VIEWS for e in leaves)


def kept_mib(form: Timed) -> float:
    """MiB that a forward pass leaves allocated, for the backward pass."""
    BUFFERS.clear()  # or what it takes from there would not be seen
    kinds = [torch.profiler.ProfilerActivity.CPU]
    cuda = form.images.is_cuda
    kinds += [torch.profiler.ProfilerActivity.CUDA] if cuda else []
    with torch.profiler.profile(activities=kinds, profile_memory=True) as profile:
        loss = form.loss()
    name = "self_device_memory_usage" if cuda else "self_cpu_memory_usage"
    kept = sum(getattr(event, name) for event in profile.events())
    loss.backward()
    return kept / 2**20


def memory_of(form: str, args: argparse.Namespace) -> float:
    """MiB by which three steps of a form raise a fresh process's largest resident set."""
    command = [sys.executable, __file__, "--memory", form, "--size", args.size]
    command += ["--threads", str(args.threads), "--device", args.device]
    if args.reference:
        command += ["--reference", str(args.reference)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def _measure_memory(form: str, args: argparse.Namespace) -> None:
    timed = Timed(form, SIZES[args.size], torch.device(args.device), args.reference)
    before = _resident("VmRSS")
    for _ in range(3):
        timed.step()
    if timed.images.is_cuda:
        print(torch.cuda.max_memory_allocated() / 2**20)
    else:
        print(_resident("VmHWM") - before)


def _resident(field: str) -> float:
    """MiB of this process, ``VmRSS`` or the most so far, ``VmHWM``; getrusage adds its parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def time_all(timed: dict[str, Timed], rounds: int) -> dict[str, list[float]]:
    """Seconds of a step of every form in every round, the first of which is a warm-up."""
    seconds: dict[str, list[float]] = {form: [] for form in timed}
    for number in range(rounds + 1):
        for form, each in timed.items():
            taken = seconds_of(each.step, each.images.device)
            if number:
                seconds[form].append(taken)
            print(f"round {number} of {rounds}: {form}, {taken:.3f} s", file=sys.stderr, flush=True)
    return seconds


def rows_of(
    timed: dict[str, Timed], seconds: dict[str, list[float]], args: argparse.Namespace
) -> list[dict[str, Any]]:
    """The table: a row for every form."""
    rows = []
    base = seconds[BASE if BASE in timed else next(iter(timed))]
    for form, each in timed.items():
        ratios = [s / f for s, f in zip(seconds[form], base, strict=True)]
        rows.append(
            {
                "form": form,
                "milliseconds": 1000 * statistics.median(seconds[form]),
                "ratio": statistics.median(ratios),
                "ratio_least": min(ratios),
                "ratio_most": max(ratios),
                "kernels": kernels(each),
                "kept_mib": kept_mib(each),
                "peak_mib": memory_of(form, args),
            }
        )
        print(f"measured {form}", file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Time all forms, print the table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="paper")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--reference", type=Path, help="directory of a public model_search.py")
    parser.add_argument("--forms", nargs="*", choices=FORMS, help="default: all but compiled")
    parser.add_argument("--memory", metavar="FORM", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="write the record there, as JSON")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.memory:
        _measure_memory(args.memory, args)
        return
    forms = list(args.forms or (form for form in FORMS if "compiled" not in form))
    forms = ["reference", *forms] if args.reference else forms
    size, device = SIZES[args.size], torch.device(args.device)
    timed = {form: Timed(form, size, device, args.reference) for form in forms}
    rows = rows_of(timed, time_all(timed, args.rounds), args)
    print("| form | ms a step | ratio (least to most) | kept MiB | peak MiB | kernels |")
    print("|:---" + "|---:" * 5 + "|")
    for r in rows:
        ratio = f"{r['ratio']:.2f} ({r['ratio_least']:.2f} to {r['ratio_most']:.2f})"
        whole = (f"{r[name]:.0f}" for name in ("kept_mib", "peak_mib", "kernels"))
        print("|", r["form"], f"| {r['milliseconds']:.0f} | {ratio} |", " | ".join(whole), "|")
    floor = floor_of(size, device)
    print(
        f"\n{floor['giga_multiply_adds']:.1f} G multiply-adds a step; a matrix product does "
        f"{floor['giga_multiply_adds_per_second']:.0f} G a second, so no step under "
        f"{floor['floor_milliseconds']:.0f} ms; memory copies at "
        f"{floor['gigabytes_per_second']:.1f} GB/s"
    )
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        machine = f"{platform.machine()}, {args.threads} threads, torch {torch.__version__}"
        record = {"size": size, "machine": machine, "rounds": args.rounds, "rows": rows}
        args.out.write_text(json.dumps({**record, "floor": floor}, indent=1) + "\n")


if __name__ == "__main__":
    main()
