"""Choices: the rows of logits of a search, and how one option of each is written down.

Shapes: ``C`` choices, ``K`` options of the choice that has most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from snas_tune.values import shown

Active = Sequence[Sequence[int]]
"""For each choice, the positions of the options that run."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One place of a network where a search picks one of some options."""

    name: str
    """Different for each choice of a space: ``normal/0-2``, ``stage1/width``."""

    options: tuple[str, ...]
    """Two or more different names."""

    group: str = "choices"
    """Choices whose credit is reported as one mean, ``credit_<group>``."""


def check_choices(space: str, choices: Sequence[Choice]) -> None:
    """Refuse choices that cannot be searched.

    Raises:
        ValueError: there are none, two have one name, one has fewer than two different options, or
            a name or an option is no text.
    """
    if not choices:
        raise ValueError(f"choices of space {space} must be one or more, got none")
    for choice in choices:
        # A text is a sequence of texts, too, but hardly what was meant.
        whole = not isinstance(choice.options, str)
        if not (whole and all(isinstance(text, str) for text in (choice.name, *choice.options))):
            raise ValueError(
                f"choice {choice.name} must have a tuple of texts as options, "
                f"got {choice.options!r}"
            )
    names = [choice.name for choice in choices]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"choices of space {space} must have different names, got {name} twice"
            )
    for choice in choices:
        if len(set(choice.options)) != len(choice.options) or len(choice.options) < 2:
            raise ValueError(
                f"choice {choice.name} must have two or more different options, "
                f"got {list(choice.options)}"
            )


def check_picks(picks: Any, choices: Sequence[Choice], rule: str) -> None:
    """Refuse picks that are not the position of an option for each choice.

    Args:
        picks: anything.
        choices: of a space.
        rule: the beginning of the message, ``picks must be``.

    Raises:
        ValueError: they are not.
    """
    ranges = [range(len(choice.options)) for choice in choices]
    listed = isinstance(picks, (list, tuple)) and len(picks) == len(ranges)
    if not listed or not all(map(range.__contains__, ranges, picks)):
        raise ValueError(
            f"{rule} one option of each of {len(ranges)} choices by position, got {shown(picks)}"
        )


def option_mask(choices: Sequence[Choice]) -> Tensor:
    """Which entries of a table ``(C, K)`` are options: a choice may have fewer than another."""
    counts = torch.tensor([len(choice.options) for choice in choices])
    return torch.arange(int(counts.max())) < counts.unsqueeze(1)


def one_hot(picks: Sequence[int], choices: Sequence[Choice]) -> Tensor:
    """The sample ``Z`` of one option for each choice, ``(C, K)``: 1 where it is picked, else 0."""
    sample = torch.zeros(option_mask(choices).shape)
    return sample.scatter_(1, torch.tensor(picks).unsqueeze(1), 1.0)
