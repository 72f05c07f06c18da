"""``snas-tune sweep``: a sweep over penalty strength and temperature that ends in a front."""

from __future__ import annotations

import dataclasses
import inspect
import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import UseAppendAction, arg

from snas_tune.checks import POSITIVE, check_value
from snas_tune.cli.exits import end
from snas_tune.cli.flags import Flag, Flags, defaults_of, flag, flags_of
from snas_tune.cli.recipe import RANGES, Recipe, check_ranges, read_recipe, recipe_text
from snas_tune.cli.usage import parse_known
from snas_tune.config import SearchConfig
from snas_tune.sweep.settings import ALL, RECIPE, SweepSettings

if TYPE_CHECKING:
    from snas_tune.sweep import SweepResult
    from snas_tune.sweep.claim import Claim

DESCRIPTION = """\
Run searches as Ray Tune trials and keep their Pareto front.

Settings that --set and --config take: see `snas-tune settings`."""

TEXTS = {
    "name": "Name; DATA-PRESET-seedSEED if not given, numbered if taken.",
    "seed": "Fixes the searcher and the searches.",
    "resume": "Go on with that sweep, or the newest of this data, preset and seed.",
    "keep_checkpoints": "front, all, or how many of the newest of each trial.",
}
"""Where the command does more than the setting of that name, or a line is too short for it."""

METAVARS = {"keep_checkpoints": "WHICH"}
"""Words for values of more than one type."""

OF_SEARCH = (
    "data",
    "data_root",
    "image_size",
    "fit",
    "bad_images",
    "limit_images",
    "flip",
    "epochs",
    "batch_size",
    "partial_channels",
    "sampling",
    "supernet",
    "precision",
)
"""The settings of a search that have a flag of their own; ``--set`` takes all."""

OF_SWEEP = tuple(name for name in defaults_of(SweepSettings) if name != "progress")
"""The fields of a sweep's settings that have a flag; `2> FILE` does what ``progress`` would."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The flags on which the defaults of the others depend."""

    preset: str | None = None
    config: Path | None = None
    set: Annotated[UseAppendAction[tuple[str, ...]], arg()] = ()


def sweep_command(words: Sequence[str]) -> tuple[Any, Any]:
    """The dataclass of the command, and its defaults.

    Args:
        words: of the command line, behind ``sweep``. Its preset, sweep file and ``--set`` give the
            other flags their defaults, so that the help shows what would run.

    Raises:
        ValueError: one of these is wrong.
    """
    sources = parse_known(Sources, words)
    recipe = read_recipe(sources.preset, sources.config, sources.set)
    check_ranges(recipe.search)
    fields = [
        *_own_flags(recipe),
        *flags_of(SearchConfig, OF_SEARCH, defaults=recipe.search),
        *flags_of(SweepSettings, OF_SWEEP, defaults=recipe.sweep, texts=TEXTS, metavars=METAVARS),
    ]
    namespace = {"__doc__": DESCRIPTION}
    kind = dataclasses.make_dataclass(
        "Sweep", fields, bases=(Sweep,), namespace=namespace, frozen=True, kw_only=True
    )
    return kind, kind()


def _own_flags(recipe: Recipe) -> list[Flag]:
    strength = recipe.search["penalty_strength"]
    budget = recipe.search.get("target_flops")
    sizes = "demo (minutes), small (hours) or paper (days on GPUs)."
    return [
        flag("preset", str, recipe.preset, sizes, metavar="NAME"),
        flag("config", Path | None, None, "A sweep file, YAML or TOML.", metavar="FILE"),
        flag(
            "set",
            UseAppendAction[tuple[str, ...]],
            (),
            "Any setting of a search, also several times.",
            metavar="NAME=VALUE",
            help_behavior_hint="",
        ),
        flag(
            "penalty",
            tuple[float, float],
            tuple(strength) if isinstance(strength, (list, tuple)) else (strength, strength),
            "Range of the penalty strength, in nats.",
            metavar="LOW HIGH",
        ),
        flag(
            "target_mflops",
            float | None,
            budget if budget is None else budget / 1e6,
            "Hold children to this many million multiply-adds.",
            metavar="M",
        ),
    ]


class Sweep(Flags):
    """What the command does; its flags are the fields of a subclass."""

    def run(self) -> int:
        """Run the sweep, print its front and where everything is.

        Raises:
            ValueError: an input is wrong.
        """
        from snas_tune.sweep import sweep_space
        from snas_tune.sweep.run import claim_of, run_claimed

        recipe = self.recipe()
        search = self.search_settings(recipe)
        space = sweep_space(**arguments_of({**search, "seed": self.seed}))
        settings, held = self.sweep_settings(recipe)
        with held or claim_of(settings) as claim:
            whole = Recipe(recipe.preset, whole_search(search), recorded(settings))
            write = partial(write_recipe, recipe=whole)
            result = run_claimed(space, settings, claim, write, on_stuck=partial(end, 1))
        if len(result.front):
            show(result, settings.name)
        for line in result.problems:
            print(line, file=sys.stderr)
        return result.exit_status

    def recipe(self) -> Recipe:
        """What the preset, the sweep file and ``--set`` ask for."""
        return read_recipe(self.preset, self.config, self.set)

    def search_settings(self, recipe: Recipe) -> dict[str, Any]:
        """The settings of the searches by name, the flags' in place of the recipe's."""
        found = {**recipe.search, **{name: getattr(self, name) for name in OF_SEARCH}}
        found["penalty_strength"] = list(self.penalty)
        if self.target_mflops is not None:
            target = check_value("target_mflops", self.target_mflops, POSITIVE)
            found["target_flops"] = float(max(1, round(1e6 * target)))
        found.setdefault("data_cache", f"{self.data_root}/cache")
        return found

    def sweep_settings(self, recipe: Recipe) -> tuple[SweepSettings, Claim | None]:
        """The settings of the sweep, under the name asked for or one that is free.

        To resume without a name takes the newest sweep of the same data, preset and seed.

        Returns:
            The settings, and the claim of a name that was chosen for a new sweep.
        """
        values = {**recipe.sweep, **{name: getattr(self, name) for name in OF_SWEEP}}
        if values["keep_checkpoints"] is None:  # so a sweep file of 0.1 calls it
            values["keep_checkpoints"] = ALL
        if self.name is not None:
            return SweepSettings(**values), None
        from snas_tune.sweep.directory import claim_new, newest_name
        from snas_tune.sweep.prepare import absolute_storage

        data = self.data.replace("/", "_").replace(":", "_").strip("._") or "data"
        base = f"{data}-{recipe.preset}-seed{self.seed}"
        settings = SweepSettings(**{**values, "name": base})
        storage = absolute_storage(settings.storage_path)
        if not self.resume:
            held = claim_new(storage, base)
            return replace(settings, name=held.name), held
        name = newest_name(storage, base)
        print(f"going on with sweep {name} in {storage}", file=sys.stderr)
        return replace(settings, name=name), None


def arguments_of(search: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of searches as arguments of ``sweep_space``: a value that it varies is a range."""
    return {
        RANGES.get(name, name): _range(name, value) if name in RANGES else value
        for name, value in search.items()
    }


def _range(name: str, value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(value)
    return (value,) if name == "temperature_schedule" else (value, value)


def whole_search(search: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting of the searches but the seed, which is the sweep's."""
    from snas_tune.sweep import sweep_space

    usual = inspect.signature(sweep_space).parameters
    found = defaults_of(SearchConfig)
    found |= {name: list(usual[argument].default) for name, argument in RANGES.items()}
    found |= search
    del found["seed"]
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in found.items()
    }


def recorded(settings: SweepSettings) -> dict[str, Any]:
    """What of a sweep's settings goes into its sweep file: all but which experiment it is."""
    return {
        each.name: getattr(settings, each.name)
        for each in dataclasses.fields(settings)
        if each.name not in ("name", "resume")
    }


def write_recipe(path: str, recipe: Recipe) -> None:
    """Put the sweep file into an experiment's directory.

    Raises:
        ValueError: that cannot be written.
    """
    from snas_tune.files import first_line
    from snas_tune.front.storage import STORAGE_ERRORS, join, replace_file, resolve

    store, inside = resolve(join(path, RECIPE))
    try:
        replace_file(store, inside, recipe_text(recipe).encode())
    except STORAGE_ERRORS as error:
        raise ValueError(f"storage path {path} is not writable: {first_line(error)}") from error


def majority_lines(result: SweepResult) -> list[str]:
    """What a network that always gives the same answer reaches, to read the table by."""
    from snas_tune.data.summary import majority_line
    from snas_tune.results import metric_of
    from snas_tune.sweep.recorded import recorded_images

    images = recorded_images(result.path)
    if images is None:
        return []
    metric = metric_of(result.front.rows)
    return [f"({majority_line(images['classes'], images['counts'], metric)})"]


def least_accuracy(result: SweepResult) -> float:
    """The accuracy above which a child has learnt anything.

    It is reached by always answering the largest class. Where the sweep has no record of its
    images, it is the accuracy of the child with the fewest FLOPs on the front.
    """
    from snas_tune.data.summary import answer_share
    from snas_tune.results import metric_of
    from snas_tune.sweep.recorded import recorded_images

    images = recorded_images(result.path)
    if images is None:
        lowest: float = result.front.front[0]["child_accuracy"]
        return lowest
    return answer_share(images["counts"], metric_of(result.front.rows))


def child_to_take(front: Sequence[Mapping[str, Any]], least: float) -> Mapping[str, Any] | None:
    """The row of a front that the last line names, for ``snas-tune take``.

    Args:
        front: its rows.
        least: the accuracy that a child must exceed.

    Returns:
        The most accurate row that does and has a checkpoint; one within its target, if there is.
        None if there is none.
    """
    from snas_tune.front.text import over_target

    kept = [row for row in front if row["checkpoint"] and row["child_accuracy"] > least]
    kept = [row for row in kept if over_target(row) is None] or kept
    return max(kept, key=lambda row: (row["child_accuracy"], -row["flops"]), default=None)


def show(result: SweepResult, name: str) -> None:
    """Print the front and where everything is."""
    from snas_tune.front.storage import join
    from snas_tune.front.text import over_target
    from snas_tune.sweep import write_pictures

    front = result.front
    print("\n".join([front.table_text(), *majority_lines(result)]))
    remote = "://" in result.path
    local = name if remote else result.path
    write_pictures(result, f"{local}/pictures")
    counts = (
        f"{len(front)} children, {len(front.front)} on the front, {len(front.distinct)} different"
    )
    box = f"of the box from 100 %, 0 FLOPs to 0 %, {result.largest_flops / 1e6:.3f} MFLOPs"
    stopped = f"{result.stopped} of {result.trials} trials were stopped early"
    lines = [
        "",
        f"front file    {join(result.path, 'front.parquet')} ({counts})",
        f"hypervolume   {result.hypervolume:.4f} {box}",
        f"saved         {100 * result.saved:.0f} % of the epochs: {stopped}",
        f"pictures      {local}/pictures/front.svg and {local}/pictures/architectures/",
        f"again         snas-tune sweep --config {shlex.quote(join(result.path, RECIPE))}",
    ]
    if remote:
        lines.append(f"then          copy all of {result.path} into the folder {name}:")
    lines.append(f"TensorBoard   tensorboard --logdir {shlex.quote(f'{local}/tensorboard')}")
    over = [row for row in front.distinct if over_target(row) is not None]
    if over:
        lines.insert(2, f"over target   {len(over)} of the front's {len(front.distinct)}, see *")
    if row := child_to_take(front.front, least_accuracy(result)):
        # Rounded up, so that the child is within the budget.
        budget = math.ceil(row["flops"] / 1e3) / 1e3
        lines.append(f"take a child  snas-tune take {shlex.quote(local)} --max-mflops {budget:.3f}")
    print("\n".join(lines))
