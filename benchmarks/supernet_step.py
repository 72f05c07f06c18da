"""Step time, memory and kernels of the supernet's forms, side by side in one run.

    python benchmarks/supernet_step.py                        # C=16, 8 cells, batch 64, 32 pixels
    python benchmarks/supernet_step.py --size demo
    python benchmarks/supernet_step.py --reference PATH/cnn   # with a public DARTS supernet

A step is forward, backward and both optimisers. All forms take one step in every round, in turn, so
that whatever else the machine does meets all of them; the ratio of two forms is the median over the
rounds of the ratio within a round. Memory is the growth of a fresh process's largest resident set
over three steps. Kernels are the operators that torch's profiler sees in a step and that touch
data, plus the native kernels. ``--reference`` takes a directory with ``model_search.py`` of
https://github.com/quark0/darts or a fork; that code is not part of this repository.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snas_tune.config import SearchConfig
from snas_tune.method import native
from snas_tune.method.fast import fast_supernet
from snas_tune.method.runtime import choose_runtime
from snas_tune.method.sampling import generator_for, gumbel_softmax
from snas_tune.method.supernet import Supernet, frame_of

SIZES = {
    "paper": {"channels": 16, "cells": 8, "nodes": 4, "batch": 64, "side": 32, "colours": 3},
    "demo": {"channels": 8, "cells": 3, "nodes": 2, "batch": 64, "side": 8, "colours": 3},
    "small": {"channels": 8, "cells": 5, "nodes": 3, "batch": 64, "side": 32, "colours": 3},
}
"""What is timed; ``paper`` is the search of DARTS and SNAS on CIFAR-10."""

FORMS = ("plain", "plain channels-last", "fast torch", "fast native", "plain bfloat16")


VIEWS = (
    *("view", "reshape", "as_strided", "permute", "transpose", "t", "select", "slice", "narrow"),
    *("unsqueeze", "squeeze", "expand", "detach", "alias", "split", "unbind", "lift_fresh"),
    *("empty", "empty_like", "empty_strided", "resolve_conj", "resolve_neg", "result_type"),
    *("is_nonzero", "item", "_local_scalar_dense"),
)
"""Operators that touch no data."""


class Timed:
    """One form of the supernet with its optimisers."""

    def __init__(self, form: str, size: dict[str, int], reference: Path | None) -> None:
        self.form, self.size = form, size
        torch.manual_seed(0)
        shape = (size["batch"], size["colours"], size["side"], size["side"])
        self.images, self.labels = torch.randn(shape), torch.randint(10, (size["batch"],))
        self.number = 0
        if form == "reference":
            assert reference is not None
            self.net, logits = _reference(reference, size)
        else:
            self.net = self._ours(form)
            logits = [self.net.logits]
        chosen = {id(parameter) for parameter in logits}
        weights = [p for p in self.net.parameters() if id(p) not in chosen]
        self.optimisers = (
            torch.optim.SGD(weights, lr=0.025, momentum=0.9, weight_decay=3e-4),
            torch.optim.Adam(logits, lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3),
        )

    def _ours(self, form: str) -> Any:
        size = self.size
        config = SearchConfig(
            cells=size["cells"], channels=size["channels"], nodes=size["nodes"], device="cpu",
            supernet=form.split()[0], channels_last=form == "plain channels-last",
            precision="bfloat16" if "bfloat16" in form else "float32",
        )  # fmt: skip
        frame = frame_of(
            config, image_size=size["side"], image_channels=size["colours"], classes=10
        )
        build = fast_supernet if form.startswith("fast") else Supernet
        self.runtime = choose_runtime(config)
        if self.runtime.channels_last:
            self.images = self.images.contiguous(memory_format=torch.channels_last)
        return self.runtime.place(build(config, frame))

    @contextlib.contextmanager
    def _numerics(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            if self.form == "fast torch":
                stack.enter_context(native.switched_off())
            if self.form != "reference":
                stack.enter_context(self.runtime.numerics())
            yield

    def step(self) -> None:
        """Forward, backward, both optimisers."""
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        with self._numerics():
            loss = F.cross_entropy(self._forward().float(), self.labels)
            loss.backward()
        for optimiser in self.optimisers:
            optimiser.step()

    def _forward(self) -> Tensor:
        if self.form == "reference":
            return self.net(self.images)
        self.number += 1
        sample = gumbel_softmax(self.net.logits, 0.7, generator_for(0, "sample", self.number))
        return self.net(self.images, sample)


def _reference(path: Path, size: dict[str, int]) -> tuple[nn.Module, list[nn.Parameter]]:
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
    logits = [nn.Parameter(alpha.detach().clone()) for alpha in network.arch_parameters()]
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


def memory_of(form: str, args: argparse.Namespace) -> float:
    """MiB by which three steps of a form raise a fresh process's largest resident set."""
    command = [sys.executable, __file__, "--memory", form, "--size", args.size]
    command += ["--threads", str(args.threads)]
    if args.reference:
        command += ["--reference", str(args.reference)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def _measure_memory(form: str, args: argparse.Namespace) -> None:
    timed = Timed(form, SIZES[args.size], args.reference)
    before = _resident("VmRSS")
    for _ in range(3):
        timed.step()
    print(_resident("VmHWM") - before)


def _resident(field: str) -> float:
    """MiB of this process, ``VmRSS`` or the most so far, ``VmHWM``; getrusage adds its parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def main() -> None:
    """Time all forms, print the table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="paper")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--reference", type=Path, help="directory of a public model_search.py")
    parser.add_argument("--forms", nargs="*", help="default: all")
    parser.add_argument("--memory", metavar="FORM", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="write the record there, as JSON")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.memory:
        _measure_memory(args.memory, args)
        return
    forms = list(args.forms or FORMS)
    if args.reference:
        forms.insert(0, "reference")
    timed = {form: Timed(form, SIZES[args.size], args.reference) for form in forms}
    seconds: dict[str, list[float]] = {form: [] for form in forms}
    for number in range(args.rounds + 1):
        for form, each in timed.items():
            start = time.perf_counter()
            each.step()
            if number:  # the first is a warm-up
                seconds[form].append(time.perf_counter() - start)
        print(f"round {number} of {args.rounds}", file=sys.stderr, flush=True)
    rows = []
    for form in forms:
        ratios = [s / f for s, f in zip(seconds[form], seconds[forms[-1]], strict=True)]
        if "fast native" in forms:
            fast = seconds["fast native"]
            ratios = [s / f for s, f in zip(seconds[form], fast, strict=True)]
        rows.append(
            {
                "form": form,
                "milliseconds": 1000 * statistics.median(seconds[form]),
                "ratio": statistics.median(ratios),
                "ratio_least": min(ratios),
                "ratio_most": max(ratios),
                "kernels": kernels(timed[form]),
                "memory_mib": memory_of(form, args),
            }
        )
    print(
        f"| form | ms a step | times fast native (least to most) | MiB | kernels |\n{'|---' * 5}|"
    )
    for r in rows:
        print(f"| {r['form']} | {r['milliseconds']:.0f} | {r['ratio']:.2f} ({r['ratio_least']:.2f} "
              f"to {r['ratio_most']:.2f}) | {r['memory_mib']:.0f} | {r['kernels']} |")  # fmt: skip
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        machine = f"{platform.machine()}, {args.threads} threads, torch {torch.__version__}"
        record = {"size": SIZES[args.size], "machine": machine, "rounds": args.rounds, "rows": rows}
        args.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
