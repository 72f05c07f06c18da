from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published import PUBLISHED
from strategies import any_genotypes, cells

from snas_tune.space.cell.genotype import INPUTS, Cell, Edge, Genotype, cell_edges

EDGE_ALL = """Genotype(
    normal=[
        ('dil_conv_5x5', 0, 2), ('skip_connect', 1, 2),
        ('sep_conv_3x3', 0, 3), ('skip_connect', 1, 3),
        ('skip_connect', 0, 4), ('skip_connect', 1, 4),
        ('sep_conv_3x3', 0, 5), ('dil_conv_5x5', 1, 5),
    ],
    normal_concat=[2, 3, 4, 5],
    reduce=[
        ('max_pool_3x3', 0, 2), ('max_pool_3x3', 1, 2),
        ('sep_conv_5x5', 0, 3), ('dil_conv_5x5', 1, 3),
        ('sep_conv_5x5', 0, 4), ('sep_conv_5x5', 1, 4),
        ('sep_conv_5x5', 0, 5), ('sep_conv_5x5', 1, 5),
    ],
    reduce_concat=[2, 3, 4, 5],
    nodes=4,
)"""

CELL = Cell(2, (Edge("skip_connect", 0, 2), Edge("sep_conv_3x3", 2, 3)), (2, 3))


def paths(cell: Cell, inputs: tuple[bool, bool]) -> list[list[int]]:
    """Every path from a live input, as positions in ``cell.edges``, by plain enumeration."""
    found: list[list[int]] = []
    grown: list[tuple[int, list[int]]] = [(n, []) for n in range(INPUTS) if inputs[n]]
    while grown:
        node, path = grown.pop()
        for i, edge in enumerate(cell.edges):
            if edge.source == node:
                found.append([*path, i])
                grown.append((edge.target, [*path, i]))
    return found


flags = st.tuples(st.booleans(), st.booleans())


@settings(deadline=None)
@given(any_genotypes)
def test_json_and_text_give_the_genotype_back(genotype):
    for text, read in (
        (genotype.to_json(), Genotype.from_json),
        (genotype.to_text(), Genotype.from_text),
    ):
        assert read(text) == genotype
        assert "\n" not in text


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_genotype_loads_and_survives_both_forms(name):
    genotype = Genotype.from_text(PUBLISHED[name])
    assert Genotype.from_json(genotype.to_json()) == genotype
    assert Genotype.from_text(genotype.to_text()) == genotype
    assert genotype.to_text().startswith("Genotype(normal=[('")


@pytest.mark.parametrize("name", sorted(set(PUBLISHED) - {"SNAS_moderate_edge_all"}))
def test_every_node_of_a_published_cell_has_its_two_edges(name):
    genotype = Genotype.from_text(PUBLISHED[name])
    for cell in (genotype.normal, genotype.reduction):
        assert cell.nodes == (5 if "NASNet" in name or name == "AmoebaNet" else 4)
        for node in range(INPUTS, INPUTS + cell.nodes):
            assert len(cell.in_edges(node)) == 2
    # All were written as pairs or nested pairs, and are written back as the pairs all code reads.
    assert "nodes=" not in genotype.to_text()


def test_pairs_belong_to_the_nodes_in_order():
    cell = Genotype.from_text(PUBLISHED["DARTS_V2"]).normal
    assert cell.in_edges(4) == (Edge("sep_conv_3x3", 1, 4), Edge("skip_connect", 0, 4))
    assert cell.in_edges(5) == (Edge("skip_connect", 0, 5), Edge("dil_conv_3x3", 2, 5))
    assert cell.concat == (2, 3, 4, 5)


def test_a_nested_genotype_is_the_same_cells_as_its_flat_form():
    nested = PUBLISHED["GDAS_V1"]
    flat = nested.replace("((", "(").replace("))", ")")
    assert flat != nested
    assert Genotype.from_text(nested) == Genotype.from_text(flat)


def test_the_edge_all_form_is_the_same_cells_as_edges_with_their_targets():
    read = Genotype.from_text(PUBLISHED["SNAS_moderate_edge_all"])
    assert read == Genotype.from_text(EDGE_ALL)
    assert read.normal == Genotype.from_text(PUBLISHED["SNAS_moderate"]).normal


def test_without_a_concat_every_node_is_in_it():
    read = Genotype.from_text("Genotype(normal=[('a', 0), ('a', 1)], reduce=[('b', 1), ('b', 1)])")
    assert read.normal.concat == read.reduction.concat == (2,)


def test_cells_of_different_size_survive_the_text_form():
    genotype = Genotype(CELL, Cell(4, (), ()))
    assert Genotype.from_text(genotype.to_text()) == genotype
    twice = Cell(2, (*CELL.edges, Edge("max_pool_3x3", 0, 2)), (2, 3))
    genotype = Genotype(twice, Cell(4, (), ()))
    assert "nodes=(2, 4)" in genotype.to_text()
    assert Genotype.from_text(genotype.to_text()) == genotype


def test_a_cell_with_any_number_of_edges_is_written_as_the_authors_code_reads_it():
    text = Genotype(CELL, CELL).to_text()
    pairs = "[('skip_connect', 0), ('none', 1), ('sep_conv_3x3', 2), ('none', 0), ('none', 1)]"
    assert text.startswith(f"Genotype(normal={pairs}, normal_concat=[2, 3], reduce={pairs}")
    assert "nodes=" not in text


FAIR_DARTS_B = """
FairDARTS_b = Genotype(normal=[('sep_conv_3x3', 2, 0), ('sep_conv_3x3', 2, 1),
    ('sep_conv_3x3', 3, 1), ('dil_conv_3x3', 4, 2), ('sep_conv_3x3', 4, 3),
    ('skip_connect', 5, 0)], normal_concat=range(2, 6), reduce=[('max_pool_3x3', 2, 0),
    ('dil_conv_5x5', 3, 2)], reduce_concat=range(2, 6))
"""
"""In the form of xiaomi-automl/FairDARTS, ``genotypes.py``: the target before the source."""


def test_edges_that_name_their_target_first_are_read():
    genotype = Genotype.from_text(FAIR_DARTS_B)
    assert genotype.normal.edges[3] == Edge("dil_conv_3x3", 2, 4)
    assert genotype.reduction.edges == (Edge("max_pool_3x3", 0, 2), Edge("dil_conv_5x5", 2, 3))
    assert genotype.normal.nodes == genotype.reduction.nodes == 4


PAIRS = "[('skip_connect', 0), ('sep_conv_3x3', 1)]"


@pytest.mark.parametrize(
    "text",
    [
        f"Genotype({PAIRS}, [2], {PAIRS}, [2])",
        f"x = Genotype(normal={PAIRS}, normal_concat=[2], reduction={PAIRS}, reduction_concat=[2])",
        "Genotype(normal=[('skip_connect', 0, 0.25), ('sep_conv_3x3', 1, 0.5)], normal_concat=[2],"
        " reduce=[(('skip_connect', 0, 0.1), ('sep_conv_3x3', 1, 0.2))], reduce_concat=[2])",
        "Genotype(normal=[('skip_connect', np.int64(0)), ('sep_conv_3x3', np.int64(1))],"
        f" normal_concat=list(range(2, 3)), reduce={PAIRS}, reduce_concat=[] + [2])",
        "Genotype(normal=[['skip_connect', 0], ['sep_conv_3x3', 1]], normal_concat=(2,),"
        f" reduce={PAIRS}, reduce_concat=range(2, 3))",
    ],
)
def test_the_same_cell_is_read_from_every_way_of_writing_it(text):
    cell = Cell(1, (Edge("skip_connect", 0, 2), Edge("sep_conv_3x3", 1, 2)), (2,))
    assert Genotype.from_text(text) == Genotype(cell, cell)


def test_pairs_that_could_be_all_edges_of_a_smaller_cell_are_written_as_all_pairs():
    sources = [0, 1, 0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 4]
    edges = tuple(Edge("skip_connect", s, INPUTS + i // 2) for i, s in enumerate(sources))
    for concat, paired in (((2, 3, 4, 5), False), ((7, 8), True)):
        cell = Cell(7, edges, concat)
        genotype = Genotype(cell, cell)
        assert ("none" not in genotype.to_text()) == paired
        assert Genotype.from_text(genotype.to_text()) == genotype


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "JSONDecodeError"),
        ("[]", "TypeError"),
        ("3", "TypeError"),
        ("{}", "KeyError"),
        ('{"format": 1}', "KeyError"),
        ('{"format": 1, "normal": [], "reduction": []}', "TypeError"),
        ('{"format": 1,\n"normal": {"nodes": 1, "edges": [["a"]], "concat": []}}', "ValueError"),
        ('{"format": 1, "normal": {"nodes": "x", "edges": [], "concat": []}}', "ValueError"),
        ('{"format": 1, "normal": {"nodes": 1, "edges": [["a", 2, 1]], "concat": []}}', "an edge"),
        ('{"format": 1, "normal": {"nodes": 1e400, "edges": [], "concat": []}}', "whole number"),
        ('{"format": 1, "normal": {"nodes": 1, "edges": [["a", 0.7, 2]], "concat": []}}', "whole"),
        ("[" * 100_000, "RecursionError"),
    ],
)
def test_json_that_is_no_genotype_gives_one_line(text, reason):
    with pytest.raises(ValueError, match=f"^not an architecture in JSON: .*{reason}.*$") as caught:
        Genotype.from_json(text)
    assert "\n" not in str(caught.value)


def test_a_newer_format_is_refused():
    text = Genotype(CELL, CELL).to_json().replace('"format":1', '"format":2')
    with pytest.raises(ValueError, match=r"^format of the architecture must be 1, got 2$"):
        Genotype.from_json(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "genotype",
        "1 + ",
        "a = 1; b = 2",
        "Genotype(",
        "Genotype()",
        "import os",
        "Genotype(normal=3, reduce=[])",
        "Genotype(normal=[()], reduce=[])",
        "Genotype(normal=[[]], reduce=[])",
        "Genotype(normal=[('a', 0)], reduce=[])",
        "Genotype(normal=[('a', 0), ('a', 0), ('a', 0)],\n\n reduce=[])",
        "Genotype(normal=[('a', 0), ('a', 7)], reduce=[])",
        "Genotype(normal=[('a', 0, 2), ('a', 0)], reduce=[])",
        "Genotype(normal=[('a', 0), ('a', 0, 3)], reduce=[])",
        "Genotype(normal=[('a', 'b'), ('a', 0)], reduce=[])",
        "Genotype(normal=[], reduce=[], nodes=(1, 2, 3))",
        "Genotype(normal=open('x'), reduce=[])",
        "Genotype(normal=[], reduce=[], normal_concat=[0])",
        "Genotype(normal=[], reduce=[], normal_concat=range('a'))",
        "Genotype(normal=[], reduce=[], normal_concat=list())",
        "Genotype(normal=[], reduce=[], normal_concat=range(2, 10**12))",
        "Genotype(normal=[('a', 0.0), ('a', 1)], reduce=[])",
        "Genotype(normal=[('a', True), ('a', 0)], reduce=[])",
        "Genotype(normal=[('a', f(0)), ('a', 1)], reduce=[])",
        "Genotype(normal=[('a', x), ('a', 1)], reduce=[])",
    ],
)
def test_text_that_is_no_genotype_gives_one_line(text):
    with pytest.raises(ValueError, match=r"^not a genotype: ") as caught:
        Genotype.from_text(text)
    assert "\n" not in str(caught.value)


def test_an_odd_number_of_edges_says_what_was_expected():
    with pytest.raises(ValueError, match="two edges for each node or all of them, got 3 edges"):
        Genotype.from_text("Genotype(normal=[('a', 0), ('a', 0), ('a', 0)], reduce=[])")


@settings(deadline=None)
@given(cells(), flags)
def test_live_keeps_exactly_the_edges_on_a_path_from_a_live_input_to_the_concat(cell, inputs):
    live = cell.live(inputs)
    walks = paths(cell, inputs)
    kept = {i for walk in walks if cell.edges[walk[-1]].target in cell.concat for i in walk}
    reached = {cell.edges[walk[-1]].target for walk in walks}
    assert live.edges == tuple(edge for i, edge in enumerate(cell.edges) if i in kept)
    assert live.concat == tuple(node for node in cell.concat if node in reached)
    assert live.nodes == cell.nodes
    assert cell.alive(inputs) == reached | {n for n in range(INPUTS) if inputs[n]}
    assert live.live(inputs) == live


@settings(deadline=None)
@given(any_genotypes)
def test_a_genotype_lives_cell_by_cell(genotype):
    live = genotype.live()
    assert live == Genotype(genotype.normal.live(), genotype.reduction.live())
    assert live.live() == live
    assert live.ops() == {e.op for e in (*live.normal.edges, *live.reduction.edges)}


@settings(deadline=None)
@given(cells())
def test_edges_are_sorted_by_target_and_found_by_their_ends(cell):
    assert [e.target for e in cell.edges] == sorted(e.target for e in cell.edges)
    shuffled = Cell(cell.nodes, tuple(sorted(cell.edges, key=lambda e: -e.target)), cell.concat)
    assert shuffled == cell
    for node in range(INPUTS + cell.nodes):
        assert cell.in_edges(node) == tuple(e for e in cell.edges if e.target == node)
        assert cell.uses(node) == (node in [e.source for e in cell.edges])


def test_the_edges_of_a_cell_come_target_by_target():
    assert cell_edges(2) == [(0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
    assert cell_edges(0) == []


@pytest.mark.parametrize(
    "edge",
    [Edge("none", 0, 2), Edge("a", 2, 2), Edge("a", 3, 2), Edge("a", -1, 2), Edge("a", 0, 1)],
)
def test_an_edge_must_carry_an_op_to_a_later_node(edge):
    with pytest.raises(ValueError, match=r"an edge must carry an op .* got Edge\(op="):
        Cell(2, (edge,), (2,))


@pytest.mark.parametrize(("edges", "concat"), [((Edge("a", 0, 4),), (2,)), ((), (2, 4))])
def test_a_cell_has_only_its_own_nodes(edges, concat):
    with pytest.raises(
        ValueError, match=r"^a cell of 2 intermediate nodes has nodes 0 to 3, got 4"
    ):
        Cell(2, edges, concat)


def test_the_concat_is_of_intermediate_nodes_each_once_in_order():
    assert Cell(3, (), (4, 2, 4)).concat == (2, 4)
    with pytest.raises(ValueError, match=r"^concat must name intermediate nodes, got \[1, 2\]$"):
        Cell(2, (), (1, 2))
