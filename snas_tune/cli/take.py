"""``snas-tune take``: a child from a front, measured, trained and exported."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg, create_mutex_group

from snas_tune.cli.output import check_output
from snas_tune.values import shown

if TYPE_CHECKING:
    from snas_tune.architecture import Architecture
    from snas_tune.config import SearchConfig
    from snas_tune.data import ImageSet
    from snas_tune.search.kept import KeptChild
    from snas_tune.search.search import Search
    from snas_tune.training.train import EpochReport, Training

WHICH = create_mutex_group(required=True, title="which child")


SHOWN = 5
"""Children that a message names."""

LONGEST = 60
"""Most characters of one of them."""


def some_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """The first few ``TRIAL:EPOCH`` of a front, as the end of a message."""
    names = [f"{row['trial']}:{row['epoch']}" for row in rows[:SHOWN]]
    names = [name if len(name) <= LONGEST else f"...{name[3 - LONGEST :]}" for name in names]
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return f" (on the front: {', '.join(names)}{more})" if names else ""


@dataclass(frozen=True, kw_only=True)
class Take:
    """Take the best child within a budget from a front, or a named one; train and export it.

    A child whose checkpoint was kept has the supernet's weights, another one begins with new ones.
    """

    sweep: Annotated[Positional[str], arg(metavar="SWEEP")]
    """The directory of a sweep, or the front file in it."""

    max_mflops: Annotated[float | None, arg(metavar="M", help_behavior_hint=""), WHICH] = None
    """The most accurate child of at most this many million multiply-adds."""

    pick: Annotated[str | None, arg(metavar="TRIAL:EPOCH", help_behavior_hint=""), WHICH] = None
    """The child of this trial and epoch."""

    epochs: int = 0
    """Epochs of the child's own training."""

    new_weights: Annotated[bool, arg(help_behavior_hint="")] = False
    """Train from new weights, even if the supernet's were kept."""

    learning_rate: float = 0.025
    """Of SGD, at the first step; falls along a cosine to 0."""

    drop_path: Annotated[float | None, arg(help_behavior_hint="")] = None
    """Drop path of the training; the search's if not given."""

    data: Annotated[str | None, arg(metavar="PATH", help_behavior_hint="")] = None
    """The images; those of the search if not given."""

    data_root: Annotated[str | None, arg(help_behavior_hint="")] = None
    """Where the images lie; where the search had them if not given."""

    device: Annotated[str | None, arg(help_behavior_hint="")] = None
    """cpu, cuda, ...; the search's if not given."""

    seed: int = 0
    """Fixes the data order, augmentation and drop path of the training."""

    export: Annotated[Path | None, arg(metavar="FILE.pt2", help_behavior_hint="")] = None
    """Write the child there with torch.export."""

    pixels: Literal["uint8", "float32"] = "uint8"
    """Type of the exported program's input."""

    def run(self) -> int:
        """Pick, measure, train, measure again, export.

        Raises:
            ValueError: an input is wrong; nothing is trained.
            Diverged: the loss of the training is no longer a number.
        """
        from snas_tune.cli.measure import measured, search_lines, test_images
        from snas_tune.search.kept import KeptChild
        from snas_tune.training.train import train

        training, row, architecture = self.asked()
        images = self.images_of(row)
        if images is None:
            self.write_kept(row, architecture)
            return 0
        search = self.search_of(row, images)
        for line in search_lines(search, images, self.recorded(row)):
            print(line)
        training = self.training_in(search, training)
        child = search.child(architecture)
        test = test_images(search)
        if row["checkpoint"]:
            print(f"with the supernet's weights: {measured(search, child, test)}")
        if self.epochs:
            train(child, search.data, search.runtime, training, self.say)
            print(f"trained: {measured(search, child, test)}")
        if self.export is not None:
            pictures = search.data.train
            kept = KeptChild(child, search.data.normalise, pictures.classes, pictures.side)
            self.write(kept, architecture, (search.config.fit, search.images["bits"]))
        return 0

    def asked(self) -> tuple[Training, dict[str, Any], Architecture]:
        """Check all that can be wrong without images; the child's row and architecture."""
        from snas_tune.architecture import read_architecture
        from snas_tune.export.program import check_export
        from snas_tune.front import ParetoFront
        from snas_tune.training.train import Training

        training = Training(
            epochs=self.epochs,
            seed=self.seed,
            learning_rate=self.learning_rate,
            drop_path=self.drop_path or 0.0,
        )
        if self.export is not None:
            check_export(self.export)
            check_output("export", self.export)
        row = self.chosen(ParetoFront.read(self.sweep))
        if self.new_weights:
            row["checkpoint"] = None
        if not (row["checkpoint"] or self.epochs):
            raise ValueError(
                "epochs must be positive for a child with new weights, as of one whose checkpoint "
                f"was not kept, got {self.epochs}"
            )
        architecture = read_architecture(row["architecture"])
        print(
            f"{row['trial']}, epoch {row['epoch']}: {row['flops'] / 1e6:.3f} MFLOPs (multiply-adds "
            f"of one image), {row['params']} weights\n{architecture.to_text()}"
        )
        return training, row, architecture

    def training_in(self, search: Search, training: Training) -> Training:
        """How the child is trained, with the settings of its search."""
        config = search.config
        return replace(
            training,
            batch_size=config.batch_size,
            evaluation_batch_size=config.evaluation_batch_size,
            augmentation=search.augmentation,
            drop_path=config.drop_path if self.drop_path is None else self.drop_path,
        )

    def chosen(self, front: Any) -> dict[str, Any]:
        """The row of the front file that the flags ask for."""
        from snas_tune.front import ParetoFront

        if self.max_mflops is not None:
            rows = [row for row in front.rows if row["checkpoint"] or self.new_weights]
            self.check_budget(rows)
            return ParetoFront.from_rows(rows).best(max_flops=self.max_mflops * 1e6)
        for row in front.rows:
            if f"{row['trial']}:{row['epoch']}" == self.pick:
                return dict(row)
        raise ValueError(
            f"pick must be the TRIAL:EPOCH of a row of the front file, got {shown(self.pick)}"
            f"{some_of(front.distinct)}"
        )

    def check_budget(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Refuse a budget that no child is within, in the unit of the flag."""
        budget = self.max_mflops or 0.0
        known = [row["flops"] / 1e6 for row in rows if not math.isnan(row["child_accuracy"])]
        if known and min(known) > budget:
            raise ValueError(
                f"max_mflops must be at least {math.ceil(1e3 * min(known)) / 1e3:.3f}, the "
                f"MFLOPs of the cheapest child, got {budget:g}"
            )

    @property
    def changes(self) -> dict[str, Any]:
        """The settings of the search that the flags replace."""
        given = {"data": self.data, "data_root": self.data_root, "device": self.device}
        found: dict[str, Any] = {name: value for name, value in given.items() if value}
        return {**found, "data_place": None} if self.data else found

    @property
    def folder(self) -> Path:
        """The sweep's directory."""
        path = Path(self.sweep)
        return path.parent if path.is_file() else path

    def config_of(self, row: Mapping[str, Any]) -> SearchConfig:
        """The settings of the search that derived the child, with the flags' in their place."""
        from snas_tune.config import SearchConfig
        from snas_tune.front import row_settings

        return SearchConfig.from_dict({**row_settings(row), **self.changes})

    def images_of(self, row: Mapping[str, Any]) -> ImageSet | None:
        """The training images; None if they cannot be read where no more is asked than an export.

        Raises:
            ValueError: they cannot be read, and the child is to be measured or trained.
        """
        from snas_tune.search.images import load_images

        try:
            return load_images(self.config_of(row))
        except ValueError as error:
            reason = f"{error}{self.elsewhere(error)}"
            if self.epochs or self.export is None or not row["checkpoint"]:
                raise ValueError(reason) from error
            print(f"nothing is measured, as the images cannot be read: {reason}")
            return None

    def elsewhere(self, error: ValueError) -> str:
        """How to say where the images of the search are now, if they are no longer there."""
        from snas_tune.data.request import NoSuchData

        if self.data or not isinstance(error, NoSuchData):
            return ""
        return "; give --data PATH" if self.data_root else "; give --data PATH, or --data-root"

    def recorded(self, row: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The record of the search's images; None where it is older than these."""
        if row["checkpoint"]:
            from snas_tune.search.checkpoint import read_state

            return read_state(self.folder / row["checkpoint"]).get("images")
        from snas_tune.sweep.recorded import recorded_images

        return recorded_images(str(self.folder))

    def search_of(self, row: Mapping[str, Any], images: ImageSet) -> Search:
        """The search that derived the child, from its checkpoint if that was kept."""
        from snas_tune.search.checkpoint import load_search
        from snas_tune.search.search import Search

        if row["checkpoint"]:
            checkpoint = self.folder / row["checkpoint"]
            return load_search(checkpoint, images, same_images=False, **self.changes)
        reason = "" if self.new_weights else ", as its checkpoint was not kept"
        print(f"the training of this child begins with new weights{reason}")
        return Search(self.config_of(row), images)

    def say(self, report: EpochReport) -> None:
        """Print an epoch of the training."""
        print(
            f"epoch {report.epoch} of {self.epochs}: loss {report.loss:.3f}, "
            f"validation {100 * report.accuracy:.1f} %",
            flush=True,
        )

    def write_kept(self, row: Mapping[str, Any], architecture: Architecture) -> None:
        """Export the child of a checkpoint as it was measured, without any images."""
        from snas_tune.search.checkpoint import read_state
        from snas_tune.search.kept import kept_child

        state = read_state(self.folder / row["checkpoint"])
        kept = kept_child(state, architecture)
        self.write(kept, architecture, (self.config_of(row).fit, state["images"]["bits"]))

    def write(self, kept: KeptChild, architecture: Architecture, form: tuple[str, int]) -> None:
        """Export the child and say how the file is read, and how its images come to their form."""
        import torch

        from snas_tune.export.program import CLASSES, export_network

        path = self.export
        assert path is not None
        channels, side = len(kept.normalise.mean), kept.side
        export_network(
            kept.network,
            path,
            normalise=kept.normalise,
            side=side,
            classes=kept.classes,
            architecture=architecture.to_json(),
            dtype=getattr(torch, self.pixels),
        )
        fit, bits = form
        deep = f", their samples of {bits} bits to 8" if bits > 8 else ""
        print(
            f"exported to {path}: {self.pixels} pixels from 0 to 255 of shape "
            f"(B, {channels}, {side}, {side}) to class logits; bring images to this size as the "
            f"search did (fit={fit}{deep}); the class names are inside:\n"
            f"  names = {{{CLASSES!r}: ''}}\n"
            f"  program = torch.export.load({str(path)!r}, extra_files=names)"
        )
