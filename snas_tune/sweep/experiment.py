"""An experiment's directory in the storage: its name, and the description that a resume must match.

``sweep.json`` beside the front file says what the sweep is: its search space, with every domain,
the number of trials, the searcher and its seed. Tune goes on with what it saved, whatever is asked
for now, so a resume that asks for something else is refused here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyarrow import fs
from ray.tune.search.sample import Categorical, Domain, Quantized

from snas_tune.checks import marked
from snas_tune.config import PLACES, SINCE_FORMAT_1, SearchConfig
from snas_tune.files import first_line, read_json
from snas_tune.front import FILE_NAME, FrontFile, check_writable
from snas_tune.front.storage import STORAGE_ERRORS, join, read_whole, replace_file, resolve
from snas_tune.sweep.domains import domains_of, first_config
from snas_tune.sweep.settings import FIXED, SweepSettings

DESCRIPTION = "sweep.json"
"""The name of the description in the directory of an experiment."""

MOST_BYTES = 1 << 24
"""Most bytes of :data:`DESCRIPTION`."""

FORMAT = 1
"""Version of the description."""

STATE = re.compile(r"experiment_state-.*\.json")
"""What Tune calls its own saved state there."""

ASKED = marked(SweepSettings, FIXED)
"""The settings of a sweep that its description holds."""

BEFORE_RULES = {"rule": "fifo", "grace_period": None, "reduction_factor": 3}
"""What descriptions do not say that are older than stopping rules."""


def check_experiment(storage: str, name: str, *, resume: bool) -> str:
    """Check an experiment's name and directory, which is created.

    Args:
        storage: an absolute path or a URI.
        name: of the experiment.
        resume: whether to go on with one that is there, or to start a new one.

    Returns:
        Its directory.

    Raises:
        ValueError: the directory cannot be written or holds a front file that
            cannot be read; there is nothing to resume, or, without ``resume``, there are results.
    """
    path = join(storage, name)
    if resume and not _listing(path):
        raise ValueError(f"name must be that of a sweep to resume, got {name!r} in {storage}")
    check_writable(path)
    FrontFile(join(path, FILE_NAME))
    if not resume and _has_results(_listing(path)):
        raise ValueError(
            f"name must be a new one, got {name!r}, which {storage} already holds results of: "
            f"choose another, or go on with it (--resume, or resume=True)"
        )
    return path


def can_restore(path: str) -> bool:
    """Whether Tune saved the state of the experiment; it does so some seconds after the start."""
    return any(STATE.fullmatch(name) for name in _listing(path))


def new_name(storage: str, base: str) -> str:
    """``base`` if no experiment there is called so, else the next of ``base-2``, ``base-3``..."""
    taken = _numbers(storage, base)
    return base if not taken else f"{base}-{max(taken) + 1}"


def newest_name(storage: str, base: str) -> str:
    """The last name that :func:`new_name` gave; ``base`` if none."""
    last = max(_numbers(storage, base), default=1)
    return base if last == 1 else f"{base}-{last}"


def _numbers(storage: str, base: str) -> list[int]:
    form = re.compile(rf"{re.escape(base)}(?:-([2-9]|[1-9]\d+))?")
    found = []
    for name in _listing(storage):
        match = form.fullmatch(name)
        if match and _has_results(_listing(join(storage, name))):
            found.append(int(match[1] or 1))
    return found


def _has_results(names: list[str]) -> bool:
    return any(name == FILE_NAME or STATE.fullmatch(name) for name in names)


def _listing(path: str) -> list[str]:
    """The names in a directory; none if it is not there."""
    store, inside = resolve(path)
    try:
        found = store.get_file_info(fs.FileSelector(inside, allow_not_found=True))
    except STORAGE_ERRORS as error:
        raise ValueError(f"storage path {path} cannot be read: {first_line(error)}") from error
    return [info.base_name for info in found]


@dataclass(frozen=True, slots=True)
class Description:
    """What a sweep is."""

    space: Mapping[str, Any]
    """Every setting: a value, or a domain as ``{"float loguniform": [0.03, 30.0]}``."""

    asked: Mapping[str, Any]
    """The settings of the sweep that a resume must ask for again, :data:`ASKED`. ``concurrent`` is
    the number of trials of a batch of the searcher; ``None`` where any number would do."""

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
            with store.open_input_file(inside) as stream:
                values = read_json(read_whole(stream, MOST_BYTES))
            if values.pop("format") != FORMAT:
                raise ValueError(f"its format must be {FORMAT}")
            space, images = {**values.pop("space")}, values.pop("images", None)
            if space.get("supernet") == "fast":  # its name until 0.1
                space["supernet"] = "fused"
            asked = {**BEFORE_RULES, **values}
            if set(asked) != set(ASKED):
                raise ValueError(f"its settings must be {', '.join(ASKED)}")
            return Description(space, asked, images)
        except (*STORAGE_ERRORS, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{DESCRIPTION} must describe the sweep to resume, got none that can be read in "
                f"{path} ({first_line(error)})"
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

    def check_same(self, wanted: Description) -> None:
        """Refuse to resume this sweep as another one.

        A setting of a search that a description does not have counts as its default.

        Raises:
            ValueError: something differs; the first such thing is named.
        """
        defaults = {**SINCE_FORMAT_1, **_plain(SearchConfig().to_dict())}
        mine, theirs = {**defaults, **self._named()}, {**defaults, **wanted._named()}
        for name, recorded in mine.items():
            value = theirs.get(name)
            open_number = name == "concurrent" and None in (value, recorded)
            if value != recorded and name not in PLACES and not open_number:
                raise ValueError(
                    f"{name} must be {_short(recorded)} as in the sweep to resume, "
                    f"got {_short(value)}"
                )

    def _named(self) -> dict[str, Any]:
        """What must be the same, by what messages call it."""
        values = {**self.asked}
        values["seed of the searcher"] = values.pop("seed")
        return {**values, **self.space}


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


def _short(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
