"""Architectures of any space: their JSON, and what is read of it and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import any_genotypes, picks

from snas_tune import architecture as module
from snas_tune.architecture import (
    BUILT_IN,
    MOST_TEXT,
    Architecture,
    Picks,
    one_line,
    read_architecture,
    register_architecture,
    upgraded_json,
)
from snas_tune.space.cell.genotype import Cell, Edge, Genotype

GENOTYPE = Genotype(Cell(1, (Edge("skip_connect", 0, 2),), (2,)), Cell(1, (), ()))

TOY = Picks("toy", {"kernel": "3", "width": "16"})


@dataclass(frozen=True, slots=True)
class Depth(Architecture):
    """One from outside the package."""

    layers: int
    space = "depth"

    def to_dict(self) -> Mapping[str, Any]:
        return {"layers": self.layers}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Depth:
        return cls(int(value["layers"]))

    def summary(self) -> str:
        return f"{self.layers} layers"

    def parts(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        return {"network": [("layers", str(self.layers))]}


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(module, "_registered", {})


@settings(deadline=None)
@given(st.one_of(any_genotypes, picks()))
def test_an_architecture_comes_back_from_its_json(architecture):
    text = architecture.to_json()
    read = read_architecture(text)
    assert read == architecture
    assert hash(read) == hash(architecture)
    assert type(read) is type(architecture)
    assert read.to_json() == text
    assert "\n" not in text
    assert type(architecture).from_json(text) == architecture
    assert upgraded_json(text) == text


@settings(deadline=None)
@given(st.one_of(any_genotypes, picks()))
def test_an_architecture_tells_the_option_of_every_choice(architecture):
    parts = architecture.parts()
    if isinstance(architecture, Picks):
        assert parts == {"choices": architecture.picks}
    else:
        cells = {"normal": architecture.normal, "reduction": architecture.reduction}
        assert parts == {
            name: [(f"{e.source} → {e.target}", e.op) for e in cell.edges]
            for name, cell in cells.items()
        }
        assert architecture.columns() == {"edges": sum(map(len, parts.values()))}
    assert list(architecture.columns()) == [metric.name for metric in architecture.METRICS]
    assert "\n" not in architecture.summary()
    for part, rows in parts.items():
        assert all(option in architecture.words(part) for _, option in rows)


@settings(deadline=None)
@given(any_genotypes)
def test_json_of_the_first_version_is_a_genotype(genotype):
    old = json.dumps({k: v for k, v in json.loads(genotype.to_json()).items() if k != "space"})
    assert read_architecture(old) == Genotype.from_json(old) == genotype
    assert upgraded_json(old) == genotype.to_json()


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(
                ["space", "format", "picks", "normal", "reduction", "nodes", "edges", "concat", "x"]
            ),
            inner,
            max_size=8,
        ),
    ),
    max_leaves=20,
)


def read_or_refuse(text):
    """What cannot be read is refused by one line of a ValueError, what can comes back."""
    refusal = ""
    try:
        architecture = read_architecture(text)
    except ValueError as error:
        refusal = str(error)
    else:
        assert read_architecture(architecture.to_json()) == architecture
        assert architecture.summary()
        assert architecture.to_text()
    assert "\n" not in refusal
    assert len(refusal) < 400


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.text(), values.map(json.dumps)))
def test_any_text_is_read_or_refused_in_one_line(text):
    read_or_refuse(text)


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from([GENOTYPE.to_json(), TOY.to_json()]),
    st.lists(st.tuples(st.integers(0, 200), st.sampled_from('[]{}",:0129-.eE xnul\\"'))),
)
def test_a_text_with_wrong_characters_is_read_or_refused_in_one_line(text, changes):
    letters = list(text)
    for place, letter in changes:
        letters[place % len(letters)] = letter
    read_or_refuse("".join(letters))


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(["cell", "toy"]),
    st.sampled_from([1, 1, 1, 2, 0, "1", None, True]),
    values,
    values,
    values,
)
def test_an_object_with_other_values_is_read_or_refused_in_one_line(space, version, a, b, c):
    cell = {"nodes": a, "edges": b, "concat": c}
    value = {"space": space, "format": version, "normal": cell, "reduction": cell, "picks": a}
    read_or_refuse(json.dumps(value))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 50_000, "not an architecture in JSON: .*RecursionError"),
        ('{"space":"toy","format":1,"picks":' + '{"a":' * 10_000 + "1" + "}" * 10_001, "Recursion"),
        ("9" * 10_000, "not an architecture in JSON: 9999.*"),
        ('"' * (MOST_TEXT + 1), f"must have at most {MOST_TEXT} characters, got {MOST_TEXT + 1}"),
        ('{"space":"toy","format":2,"picks":{}}', "format of the architecture must be 1, got 2"),
        ('{"space":"cell","format":7}', "format of the architecture must be 1, got 7"),
        ('{"space":"toy","format":1}', "KeyError: 'picks'"),
        ('{"space":"toy","format":1,"picks":[]}', "AttributeError"),
        ('{"space":"toy","format":1,"picks":{"a":3}}', "must be texts, got 3"),
        ('{"space":3,"format":1,"picks":{}}', "must be texts, got 3"),
        ('{"space":"","format":1,"picks":{}}', "space must be a name, got ''"),
        ('{"space":"toy","picks":{}}', "KeyError: 'format'"),
        ('{"format":1,"picks":{}}', "KeyError: 'normal'"),
    ],
)
def test_what_is_refused_says_why(text, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        read_architecture(text)
    assert len(str(caught.value)) < 400
    assert upgraded_json(text) == text


def test_a_cell_of_more_nodes_than_can_be_drawn_is_refused():
    cell = {"nodes": 10**9, "edges": [], "concat": []}
    text = json.dumps({"space": "cell", "format": 1, "normal": cell, "reduction": cell})
    with pytest.raises(ValueError, match="at most 64 intermediate nodes, got 1000000000"):
        read_architecture(text)


def test_the_largest_cells_can_be_written_and_read():
    edges = tuple(Edge("sep_conv_3x3", s, t) for t in range(2, 66) for s in range(t))
    cell = Cell(64, edges, tuple(range(2, 66)))
    genotype = Genotype(cell, cell)
    assert len(genotype.to_json()) < MOST_TEXT
    assert read_architecture(genotype.to_json()) == genotype


def test_an_architecture_of_one_space_is_none_of_another():
    with pytest.raises(ValueError, match="its space must be cell, got 'toy'"):
        Genotype.from_json(GENOTYPE.to_json().replace('"cell"', '"toy"'))


def test_a_class_from_outside_is_read_once_it_is_registered(registered):
    text = Depth(3).to_json()
    assert text == '{"space":"depth","format":1,"layers":3}'
    with pytest.raises(ValueError, match="KeyError: 'picks'"):
        read_architecture(text)
    for home in (Depth, f"{__name__}:Depth"):
        register_architecture("depth", home)
        assert read_architecture(text) == Depth(3)
    assert Depth(3).to_text() == text
    assert Depth(3).words() == Depth(3).words("network") == "Network: layers is 3."
    assert (Depth(3).columns(), Depth.METRICS) == ({}, ())


def test_a_text_causes_no_import(registered):
    text = TOY.to_json().replace('"toy"', '"antigravity:fly"')
    assert read_architecture(text).space == "antigravity:fly"
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("space", "home", "error"),
    [
        ("cell", Picks, r"space must be none of cell, got 'cell'"),
        ("toy", int, r"home must be a class of architectures or module:name, got <class 'int'>"),
        ("toy", "module", r"home must be .*, got 'module'"),
        ("toy", ":name", r"home must be .*, got ':name'"),
    ],
)
def test_a_wrong_registration_is_refused(registered, space, home, error):
    with pytest.raises(ValueError, match=error):
        register_architecture(space, home)


def test_picks_are_a_value_of_texts():
    assert Picks("toy", (("kernel", "3"), ("width", "16"))) == TOY
    assert len({TOY, Picks("toy", dict(TOY.picks)), Picks("toy", ())}) == 2
    with pytest.raises(ValueError, match="must have different names, got 'a' twice"):
        Picks("toy", (("a", "1"), ("a", "2")))
    with pytest.raises(ValueError, match="must be texts, got 3"):
        Picks("toy", {"kernel": 3})


def test_few_choices_are_listed_and_many_are_counted():
    assert TOY.summary() == "kernel 3, width 16"
    assert Picks("toy", ()).summary() == "no choices"
    many = Picks("toy", {f"block {i}": "conv" if i % 3 else "skip" for i in range(20)})
    assert many.summary() == "20 choices: 13xconv 7xskip"
    different = Picks("toy", {f"block {i}": f"option {i}" for i in range(20)})
    assert len(different.summary()) == 60
    assert different.summary().startswith("20 choices: 1xoption 0 1xoption 1 ")
    assert Picks("toy", {"a\nb": "c\t d"}).summary() == "a b c d"


def test_a_long_text_is_cut_to_one_line():
    assert one_line("a\n b") == "a b"
    assert one_line("a" * 61) == "a" * 57 + "..."


def test_words_of_an_architecture_need_nothing_but_the_standard_library():
    homes = {home.partition(":")[0] for home in BUILT_IN.values()}
    code = (
        "import sys; before = set(sys.modules); import snas_tune.architecture as a\n"
        f"print([m for m in {homes!r} if m in sys.modules])\n"
        f"a.read_architecture({GENOTYPE.to_json()!r})\n"
        "new = {m.partition('.')[0] for m in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names) - {'snas_tune'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n[]\n"
