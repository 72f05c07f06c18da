"""``snas-tune latency``: milliseconds of every layer of a search space on this device."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snas_tune.checks import COUNT, at_most, check_value
from snas_tune.cli.flags import Flags, flag, flags_of
from snas_tune.cli.output import check_output
from snas_tune.config import SearchConfig
from snas_tune.setting_checks import MOST_STEPS

if TYPE_CHECKING:
    from snas_tune.space.space import Layer

DESCRIPTION = """\
Measure the latency of every layer that a child can have on this device, for searches.

Run it where the child will run, and carry the table to where the search runs."""

OF_SPACE = ("space", "ops_module", "cells", "channels", "partial_channels", "nodes", "stem", "ops")
"""The settings of a search that fix its layers, besides the images."""

OF_SEARCH = ("data_root", "image_size", "image_channels", *OF_SPACE, "device", "threads")
"""The settings of a search that have a flag."""


def latency_command() -> Any:
    """The dataclass of the command."""
    fields = [
        flag("data", str | None, None, "Take the images' shape and classes from there."),
        flag("classes", int | None, None, "Classes; those of the data if not given."),
        *flags_of(SearchConfig, OF_SEARCH),
        flag("repeats", int, 30, "Runs of a layer, of which the median counts."),
        flag("output", Path, Path("latency.json"), "The table.", metavar="FILE.json"),
    ]
    return dataclasses.make_dataclass(
        "Latency",
        fields,
        bases=(Latency,),
        namespace={"__doc__": DESCRIPTION},
        frozen=True,
        kw_only=True,
    )


class Latency(Flags):
    """What the command does; its flags are the fields of a subclass."""

    def run(self) -> int:
        """Measure and write.

        Raises:
            ValueError: an input is wrong.
        """
        import torch

        from snas_tune.data import StderrProgress
        from snas_tune.space.latency import measure_latencies, write_latencies
        from snas_tune.space.space import space_class
        from snas_tune.training.runtime import choose_device

        settings = {name: getattr(self, name) for name in OF_SEARCH}
        config = SearchConfig(data="digits" if self.data is None else self.data, **settings)
        check_value("repeats", self.repeats, COUNT, at_most(MOST_STEPS))
        if self.classes is not None:
            check_value("classes", self.classes, COUNT, at_most(MOST_STEPS))
        space_class(config.space).check(config)
        device = choose_device(config.device)
        check_output("output", self.output)
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        layers = self.layers(config)
        progress, done = StderrProgress(), iter(range(1, len(layers) + 1))
        table = measure_latencies(
            layers,
            device=config.device,
            repeats=self.repeats,
            progress=lambda _, __: progress(
                f"measuring {len(layers)} layers", next(done), len(layers)
            ),
        )
        write_latencies(self.output, table, config.device)
        slowest = max(table, key=lambda key: table[key])
        print(
            f"{len(table)} layers on {device}, {torch.get_num_threads()} threads; the slowest "
            f"takes {table[slowest]:.3f} ms: {slowest}"
        )
        print(f"written to {self.output}; a search of this space takes it as")
        print(f"  {self.sweep_line(config)}")
        print("and every child's latency_ms is then in the front file")
        return 0

    def layers(self, config: SearchConfig) -> Sequence[Layer]:
        """Every layer of the search, its shapes from the data or from the flags."""
        from snas_tune.search.images import load_images
        from snas_tune.space.space import ImageShape, build_space

        given = {name: getattr(self, name) for name in ("image_size", "image_channels", "classes")}
        if self.data is not None:
            images = load_images(config)
            own = (images.images.shape[-1], images.images.shape[1], len(images.classes))
            given = dict(zip(given, own, strict=True))
            if self.classes not in (None, given["classes"]):
                raise ValueError(f"classes of {self.data} must be {own[2]}, got {self.classes}")
        for name, value in given.items():
            if value is None:
                raise ValueError(f"{name} must be given where no data is, got None")
            check_value(name, value, COUNT, at_most(MOST_STEPS))
        shape = ImageShape(given["image_size"], given["image_channels"], given["classes"])
        return build_space(config, shape).layers()

    def sweep_line(self, config: SearchConfig) -> str:
        """The command that searches this space with the table."""
        images = ("data", "data_root", "image_size", "image_channels") if self.data else ()
        settings: dict[str, Any] = {
            **{name: getattr(config, name) for name in (*images, *OF_SPACE)},
            "ops": f"[{', '.join(config.ops)}]",
            "latency_table": self.output.resolve(),
            "penalty_costs": "{latency_ms: 1}",
        }
        sets = [f"--set={name}={value}" for name, value in settings.items() if value is not None]
        return shlex.join(["snas-tune", "sweep", *sets])
