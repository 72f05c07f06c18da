"""The description of an experiment, which a resume must match.

``sweep.json`` beside the front file says what the sweep is: its search space, with every domain,
the number of trials, the searcher and its seed. Tune goes on with what it saved, whatever is asked
for now, so a resume that asks for something else is refused here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.tune.search.sample import Categorical, Domain, Quantized

from snas_tune.checks import marked
from snas_tune.config import PLACES, SINCE_FORMAT_1, SearchConfig
from snas_tune.files import as_json, first_line, read_object
from snas_tune.front.storage import STORAGE_ERRORS, join, read_file, replace_file, resolve
from snas_tune.search.images import read_record
from snas_tune.sweep.domains import domains_of, first_config
from snas_tune.sweep.settings import FIXED, OPEN, SweepSettings

DESCRIPTION = "sweep.json"
"""The name of the description in the directory of an experiment."""

MOST_BYTES = 1 << 24
"""Most bytes of :data:`DESCRIPTION`."""

FORMAT = 1
"""Version of the description."""

MAY_CHANGE = marked(SweepSettings, OPEN)
"""The settings of a sweep that its description holds, and that a resume may ask for otherwise."""

ASKED = marked(SweepSettings, FIXED) + MAY_CHANGE
"""The settings of a sweep that its description holds."""

BEFORE_RULES = {"rule": "fifo", "grace_period": None, "reduction_factor": 3}
"""What descriptions do not say that are older than stopping rules."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a sweep is."""

    space: Mapping[str, Any]
    """Every setting: a value, or a domain as ``{"float loguniform": [0.03, 30.0]}``."""

    asked: Mapping[str, Any]
    """The settings of the sweep that it records, :data:`ASKED`. ``concurrent`` is the number of
    trials of a batch of the searcher."""

    images: Mapping[str, Any] | None = None
    """The :func:`snas_tune.search.images.image_record` of its training images; None where it is
    older than these."""

    @staticmethod
    def of(space: Mapping[str, Any], settings: SweepSettings) -> Description:
        """The description of a sweep over a space; settings that it leaves out have their default.

        Raises:
            ValueError: a setting is wrong.
        """
        values = SearchConfig.from_dict(first_config(space)).to_dict()
        domains = {name: _domain_json(value) for name, value in domains_of(space).items()}
        asked = {name: getattr(settings, name) for name in ASKED}
        return Description(_plain({**values, **domains}), _plain(asked))

    @staticmethod
    def read(path: str) -> Description:
        """That of an experiment.

        Raises:
            ValueError: there is none, or it cannot be read.
        """
        store, inside = resolve(join(path, DESCRIPTION))
        try:
            values = read_object(read_file(store, inside, MOST_BYTES), "format")
            if (version := values.pop("format")) != FORMAT:
                raise ValueError(f"its format must be {FORMAT}, got {as_json(version)}")
            space, images = values.pop("space", None), read_record(values.pop("images", None))
            if not isinstance(space, dict):
                raise ValueError(f"its space must be a JSON object, got {as_json(space)}")
            if space.get("supernet") == "fast":  # its name until 0.1
                space["supernet"] = "fused"
            asked = {**BEFORE_RULES, **values}
            if set(asked) != set(ASKED):
                raise ValueError(f"its settings must be {', '.join(ASKED)}")
            return Description(space, asked, images)
        except (*STORAGE_ERRORS, ValueError) as error:
            raise ValueError(
                f"{DESCRIPTION} must describe the sweep to resume, got none that can be read in "
                f"{path} ({first_line(error)}): start a sweep under another name"
            ) from error

    def write(self, path: str) -> None:
        """Put it into the experiment's directory.

        Raises:
            ValueError: that cannot be written.
        """
        values = {"format": FORMAT, "space": self.space, **self.asked}
        values |= {} if self.images is None else {"images": self.images}
        text = json.dumps(values, indent=1, sort_keys=True)
        store, inside = resolve(join(path, DESCRIPTION))
        try:
            replace_file(store, inside, f"{text}\n".encode())
        except STORAGE_ERRORS as error:
            raise ValueError(f"storage path {path} is not writable: {first_line(error)}") from error

    def check_same(self, wanted: Description, path: str = "") -> None:
        """Refuse to resume this sweep as another one.

        A setting of a search that a description does not have counts as its default.

        Args:
            wanted: what is asked for now.
            path: of this sweep, if the message is to name it.

        Raises:
            ValueError: something differs; the first such thing is named.
        """
        defaults = {**SINCE_FORMAT_1, **_plain(SearchConfig().to_dict())}
        mine, theirs = {**defaults, **self._named()}, {**defaults, **wanted._named()}
        place = f" ({path})" if path else ""
        for name, recorded in mine.items():
            value = theirs.get(name)
            if name == "data" and _are_paths(recorded, value):
                self._check_movable(recorded, value, place)
            elif value != recorded and name not in (*PLACES, *MAY_CHANGE):
                raise ValueError(
                    f"{name} must be {_short(name, recorded)} as in the sweep to resume, "
                    f"got {_short(name, value)}{place}"
                )

    def _check_movable(self, recorded: Any, value: Any, place: str) -> None:
        """Refuse images in another place where no record says that they are the same."""
        if value != recorded and self.images is None:
            raise ValueError(
                f"data must be {recorded} as in the sweep to resume, which has no record of its "
                f"images, got {value}: move the images back, or link them: {recorded}{place}"
            )

    def moved(self, space: Mapping[str, Any]) -> dict[str, Any]:
        """The space of a resume with this sweep's ``data``, by which its searches are named.

        Where it asks for another path, that is only the place of the images.
        """
        recorded, value = self.space.get("data"), space.get("data")
        if value == recorded or not _are_paths(recorded, value):
            return dict(space)
        return {**space, "data": recorded, "data_place": value}

    def _named(self) -> dict[str, Any]:
        """What must be the same, by what messages call it."""
        values = {**self.asked}
        values["seed of the searcher"] = values.pop("seed")
        return {**values, **self.space}


def _are_paths(*values: Any) -> bool:
    return all(isinstance(value, str) and Path(value).is_absolute() for value in values)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As the file holds them: tuples are lists there."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(values), default=repr))
    return plain


def _domain_json(domain: Domain) -> dict[str, Any]:
    if isinstance(domain, Categorical):
        return {"choice": list(domain.categories)}
    sampler = domain.get_sampler()
    steps = ""
    if isinstance(sampler, Quantized):
        sampler, steps = sampler.sampler, f" in steps of {sampler.q}"
    return {f"{type(domain).__name__} {sampler}{steps}".lower(): [domain.lower, domain.upper]}


def _short(name: str, value: Any) -> str:
    if name == "target_flops" and isinstance(value, (int, float)):
        return f"{value / 1e6:g} MFLOPs"
    return json.dumps(value, separators=(",", ":"))
