"""``snas-tune take``: a child from a front, measured, trained and exported."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg, create_mutex_group

from snas_tune.cli.output import check_output

if TYPE_CHECKING:
    from torch import nn

    from snas_tune.architecture import Architecture
    from snas_tune.search.search import Search
    from snas_tune.training.batches import Images
    from snas_tune.training.train import EpochReport, Training

WHICH = create_mutex_group(required=True, title="which child")


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
        from snas_tune.training.train import train

        row, search, architecture, training = self.load()
        child = search.child(architecture)
        test = test_images(search)
        if row["checkpoint"]:
            print(f"with the supernet's weights: {measured(search, child, test)}")
        if self.epochs:
            train(child, search.data, search.runtime, training, self.say)
            print(f"trained: {measured(search, child, test)}")
        if self.export is not None:
            self.write(search, child, architecture, self.export)
        return 0

    def load(self) -> tuple[dict[str, Any], Search, Architecture, Training]:
        """Check all that can be wrong, and load the search that derived the child."""
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
        search = self.search_of(row)
        config = search.config
        training = replace(
            training,
            batch_size=config.batch_size,
            evaluation_batch_size=config.evaluation_batch_size,
            augmentation=search.augmentation,
            drop_path=config.drop_path if self.drop_path is None else self.drop_path,
        )
        architecture = read_architecture(row["architecture"])
        print(
            f"{row['trial']}, epoch {row['epoch']}: {row['flops'] / 1e6:.3f} MFLOPs (multiply-adds "
            f"of one image), {row['params']} weights\n{architecture.to_text()}"
        )
        return row, search, architecture, training

    def chosen(self, front: Any) -> dict[str, Any]:
        """The row of the front file that the flags ask for."""
        from snas_tune.front import ParetoFront

        if self.max_mflops is not None:
            rows = (row for row in front.rows if row["checkpoint"] or self.new_weights)
            return ParetoFront.from_rows(rows).best(max_flops=self.max_mflops * 1e6)
        for row in front.rows:
            if f"{row['trial']}:{row['epoch']}" == self.pick:
                return dict(row)
        raise ValueError(
            f"pick must be the TRIAL:EPOCH of a row of the front file, got {self.pick}"
        )

    def search_of(self, row: dict[str, Any]) -> Search:
        """The search that derived the child, from its checkpoint if that was kept."""
        from snas_tune.config import SearchConfig
        from snas_tune.search.checkpoint import load_search
        from snas_tune.search.search import Search

        given = {"data_root": self.data_root, "device": self.device}
        changes: dict[str, Any] = {name: value for name, value in given.items() if value}
        if row["checkpoint"]:
            path = Path(self.sweep)
            folder = path.parent if path.is_file() else path
            return load_search(folder / row["checkpoint"], **changes)
        if not self.epochs:
            raise ValueError(
                "epochs must be positive for a child with new weights, as of one whose checkpoint "
                f"was not kept, got {self.epochs}"
            )
        reason = "" if self.new_weights else ", as its checkpoint was not kept"
        print(f"the training of this child begins with new weights{reason}")
        return Search(SearchConfig.from_dict({**json.loads(row["config"]), **changes}))

    def say(self, report: EpochReport) -> None:
        """Print an epoch of the training."""
        print(
            f"epoch {report.epoch} of {self.epochs}: loss {report.loss:.3f}, "
            f"validation {100 * report.accuracy:.1f} %",
            flush=True,
        )

    def write(
        self, search: Search, child: nn.Module, architecture: Architecture, path: Path
    ) -> None:
        """Export the child and say how the file is read."""
        import torch

        from snas_tune.export.program import CLASSES, export_network

        train = search.data.train
        channels, side = train.channels, train.side
        export_network(
            child,
            path,
            normalise=search.data.normalise,
            side=side,
            classes=train.classes,
            architecture=architecture.to_json(),
            dtype=getattr(torch, self.pixels),
        )
        print(
            f"exported to {path}: {self.pixels} pixels from 0 to 255 of shape "
            f"(B, {channels}, {side}, {side}) to class logits; the class names are inside:\n"
            f"  names = {{{CLASSES!r}: ''}}\n"
            f"  program = torch.export.load({str(path)!r}, extra_files=names)"
        )


def test_images(search: Search) -> Images | None:
    """The test images that belong to the search's; ``None`` if there are none."""
    from snas_tune.data import NoTestImages, load_test
    from snas_tune.training.batches import Images

    config, train = search.config, search.data.train
    try:
        test = load_test(
            config.data,
            root=config.data_root,
            image_size=train.side,
            channels=train.channels,
            bad_images=config.bad_images,
            cache_dir=config.data_cache,
        )
    except NoTestImages as error:
        print(f"validation images only: {error}")
        return None
    return Images.of(test, search.runtime.device)


def measured(search: Search, child: nn.Module, test: Images | None) -> str:
    """The child's accuracy in words."""
    from snas_tune.training.evaluate import accuracy

    text = f"validation {100 * search.child_accuracy(child):.1f} %"
    if test is None:
        return text
    size, data = search.config.evaluation_batch_size, search.data
    right = accuracy(child, test, data.normalise, search.runtime, size)
    return f"test {100 * right:.1f} %, {text}"
