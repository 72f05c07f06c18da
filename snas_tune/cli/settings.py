"""``snas-tune settings``: every setting of a search, with its default, rule and document."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any

from tyro.conf import Positional, arg

from snas_tune.checks import demands_of
from snas_tune.cli.flags import defaults_of
from snas_tune.cli.recipe import check_names
from snas_tune.config import SearchConfig
from snas_tune.documents import documents, first_sentence


@dataclass(frozen=True, kw_only=True)
class Settings:
    """List the settings of a search: name, default, rule and document.

    A sweep takes them as --set NAME=VALUE and in the section `search` of a sweep file.
    """

    names: Annotated[
        Positional[tuple[str, ...]], arg(metavar="[NAME ...]", help_behavior_hint="")
    ] = ()
    """Tell the whole documents of these; a line for each of all settings if not given."""

    def run(self) -> int:
        """Print them.

        Raises:
            ValueError: there is no such setting.
        """
        defaults, texts = defaults_of(SearchConfig), documents(SearchConfig)
        demands = demands_of(SearchConfig)
        check_names(self.names, defaults, "setting")
        if self.names:
            for name in self.names:
                print(f"{name} = {_text(defaults[name])}, must be {demands[name]}")
                print(f"    {texts[name]}")
        else:
            wide = max(map(len, defaults))
            for name, value in defaults.items():
                told, rule = first_sentence(texts[name]), demands[name]
                print(f"{name:{wide}} = {_text(value)}: {told} ({rule})")
        return 0


def _text(value: Any) -> str:
    """A default as it would be given to ``--set``."""
    return json.dumps(value).replace('"', "")
