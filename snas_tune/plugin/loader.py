"""TensorBoard's entry point. A failing import here would take the whole command down."""

from __future__ import annotations

import argparse

from tensorboard.plugins import base_plugin

from snas_tune.events import PLUGIN


class Loader(base_plugin.TBLoader):  # type: ignore[misc]  # TensorBoard is untyped
    """Makes the Pareto tab."""

    def define_flags(self, parser: argparse.ArgumentParser) -> None:
        """Add the axes that the tab opens with."""
        group = parser.add_argument_group("pareto plugin")
        group.add_argument(
            "--pareto_x", metavar="TAG", default="", help="scalar that the Pareto tab shows as cost"
        )
        group.add_argument(
            "--pareto_y", metavar="TAG", default="", help="scalar that it shows as quality"
        )

    def fix_flags(self, flags: argparse.Namespace) -> None:
        """Keep every sample: by default TensorBoard drops all but a few of a tensor's."""
        samples = getattr(flags, "samples_per_plugin", None)
        if isinstance(samples, dict):
            samples.setdefault(PLUGIN, 0)

    def load(self, context: base_plugin.TBContext) -> base_plugin.TBPlugin:
        """The plugin; TensorBoard logs what this raises, and goes on without it."""
        from snas_tune.plugin.routes import ParetoPlugin

        return ParetoPlugin(context)
