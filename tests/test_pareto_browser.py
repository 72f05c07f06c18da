"""The Pareto tab in a real browser, on the log of a written sweep."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
from browsers import chosen, key, saved

from snas_tune.front import ParetoFront
from snas_tune.space.cell.genotype import Genotype

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture
def tab(page):
    page.problems.clear()
    page.open()
    yield page
    page.check()


@pytest.fixture
def front(written):
    return written[1]


def test_the_front_is_that_of_the_front_file(tab, front):
    tab.count(len(front))
    members = len(front.front)
    assert f"{members} on the front" in tab.text(".status")
    assert "Left out: 1 run without both (“front”)" in tab.text(".status")
    assert tab.keys() == [key(row) for row in front.distinct]
    drawn = [c.get_attribute("data-key") for c in tab.find("circle.member").all()]
    assert drawn == tab.keys()
    assert len(front.distinct) > 3


def test_a_click_on_a_point_of_the_front_shows_its_architecture(tab, front):
    for row in (front.distinct[0], front.distinct[-1]):
        tab.click_point(key(row))
        tab.wait("k => document.querySelector('section.chosen')?.dataset.key === k", key(row))
        tab.wait("() => document.querySelector('img.part')?.naturalWidth > 100")
        genotype = Genotype.from_json(row["architecture"])
        assert tab.text("code.architecture") == genotype.to_text()
        # The pictures that are shown are those of its cells.
        for image, cell in zip(
            tab.find("img.part").all(), (genotype.normal, genotype.reduction), strict=True
        ):
            source = image.get_attribute("src")
            svg = tab.page.request.get(f"{tab.url}data/plugin/pareto/{source}").text()
            assert svg.count('class="pill"') == len(cell.edges)
        command = tab.text("code.command")
        assert f"--pick {row['trial']}:{row['epoch']} " in command
        titles = tab.find("section.chosen svg .title").all_text_contents()
        assert {"accuracy", "FLOPs (multiply-adds)", "entropy", "temperature"} <= set(titles)
    assert tab.find("circle.ring.chosen").count() == 1


def test_pinning_a_second_point_names_the_ops_that_differ(tab, front):
    one, other = front.distinct[0], front.distinct[-1]
    tab.click_point(key(one))
    tab.wait("() => document.querySelector('section.chosen')")
    tab.click_point(key(other), shift=True)
    tab.wait("() => document.querySelector('section.difference table')")
    told = {
        tuple(cell.inner_text() for cell in row.locator("th, td").all())
        for row in tab.find("section.difference tbody tr").all()
    }
    expected = set()
    cells = [Genotype.from_json(row["architecture"]) for row in (one, other)]
    for name in ("normal", "reduction"):
        ops = [{(e.source, e.target): e.op for e in getattr(c, name).edges} for c in cells]
        for edge in {*ops[0], *ops[1]}:
            pair = [op.get(edge, "none") for op in ops]
            if pair[0] != pair[1]:
                expected.add((f"{name} {edge[0]} → {edge[1]}", *pair))
    assert told == expected
    tab.find("section.pinned button:text-is('Let go')").click()
    tab.wait("() => !document.querySelector('section.pinned')")


def test_a_budget_names_the_child_that_the_front_file_has_for_it(tab, front):
    flops = sorted(row["flops"] for row in front.rows)
    accuracies = sorted(row["child_accuracy"] for row in front.rows)
    for share in (0.1, 0.5, 1.0):
        bound = flops[int(share * (len(flops) - 1))]
        least = accuracies[int(0.3 * len(accuracies))]
        tab.find("input[name=max]").fill(str(bound))
        tab.find("input[name=min]").fill("")
        best = front.best(max_flops=bound)
        assert tab.find(".budget button").get_attribute("data-key") == key(best)
        tab.find("input[name=min]").fill(f"{100 * least} %")
        try:
            best = front.best(max_flops=bound, min_child_accuracy=least)
        except ValueError:
            assert tab.text(".budget") == "No shown point is within the budget."
        else:
            assert tab.find(".budget button").get_attribute("data-key") == key(best)
    tab.find(".budget button").click()
    tab.wait("k => document.querySelector('section.chosen')?.dataset.key === k", key(best))
    tab.find("input[name=max]").fill("much")
    assert "the bound “much” is no number" in tab.text(".status")


def test_a_filter_by_run_and_by_hyperparameter_shows_the_front_of_what_is_left(tab, front):
    tab.find("input[name=rx]").fill("^linear")
    kept = [row for row in front.rows if row["trial"].startswith("linear")]
    tab.count(len(kept))
    assert tab.keys() == [key(row) for row in ParetoFront.from_rows(kept).distinct]
    strengths = sorted({row["penalty_strength"] for row in kept})
    tab.find("input[data-filter=penalty_strength]").first.fill(str(strengths[1]))
    tab.find("input[data-filter=penalty_strength]").first.press("Enter")
    kept = [row for row in kept if row["penalty_strength"] >= strengths[1]]
    tab.count(len(kept))
    assert tab.keys() == [key(row) for row in ParetoFront.from_rows(kept).distinct]
    assert f"{len(front) - len(kept)} points by the filters" in tab.text(".status")
    tab.find("input[name=rx]").fill("(")
    assert "no regular expression" in tab.text(".status")
    tab.find("button:text-is('Clear filters and budget')").click()
    tab.count(len(front))


def test_dragging_along_a_parallel_axis_filters_and_a_double_click_lets_go(tab, front):
    handle = '.paraxis[data-name="temperature_schedule"] .handle'
    x, _ = tab.middle(handle)
    box, mouse = tab.find(handle).bounding_box(), tab.page.mouse
    mouse.move(x, box["y"] + 1)  # the upper end is the last one in the alphabet
    mouse.down()
    mouse.move(x, box["y"] + box["height"] / 2, steps=4)
    mouse.up()
    kept = [row for row in front.rows if row["temperature_schedule"] == "linear"]
    tab.count(len(kept))
    assert tab.keys() == [key(row) for row in ParetoFront.from_rows(kept).distinct]
    tab.find(handle).dblclick()
    tab.count(len(front))


def test_a_link_shows_the_same_again(tab, front):
    row = front.distinct[2]
    tab.find("input[name=rx]").fill("linear|cosine")
    tab.find("input[name=logx]").check()
    tab.find("select[name=value]").select_option("last")
    tab.wait("n => document.querySelector('.status').innerText.includes(n)", "10 points")
    last = [r for r in front.rows if r["epoch"] == 4]
    assert tab.keys() == [key(r) for r in ParetoFront.from_rows(last).distinct]
    tab.find("select[name=value]").select_option("all")
    tab.count(len(front))
    tab.click_point(key(row))
    tab.wait("() => document.querySelector('section.chosen')")
    address = tab.page.url
    tab.page.goto("about:blank")
    tab.page.goto(address)
    tab.frame.wait_for_selector("section.chosen")
    assert chosen(tab) == key(row)
    assert tab.find("input[name=rx]").input_value() == "linear|cosine"
    assert tab.find("input[name=logx]").is_checked()
    assert tab.page.url == address


def test_an_answer_that_comes_late_does_not_undo_a_choice(tab, front):
    """A look at the running sweep is under way while something else is chosen."""
    tab.count(len(front))
    held = []

    def hold(route):
        if held:
            route.continue_()
        else:
            held.append(route)

    tab.page.route("**/pareto/points*", hold)
    tab.page.wait_for_event("request", lambda request: "/pareto/points" in request.url)
    tab.find("select[name=value]").select_option("last")
    tab.count(10)
    (route,) = held
    url, _, _ = route.request.url.partition("&since")  # as if there were something new
    with tab.page.expect_request_finished(lambda request: request == route.request):
        route.continue_(url=url)
    tab.page.unroute("**/pareto/points*", hold)
    tab.wait("() => new Promise((done) => setTimeout(() => done(true), 200))")
    assert tab.text(".status").startswith("10 points")


def test_what_is_saved_equals_the_front_file(tab, front, tmp_path):
    tab.count(len(front))
    front.to_csv(tmp_path / "front.csv")
    assert saved(tab, "CSV") == (tmp_path / "front.csv").read_text()
    rows = json.loads(saved(tab, "JSON"))
    assert [row["architecture"] for row in rows] == [row["architecture"] for row in front.rows]
    assert [row["on_front"] for row in rows] == front.mask.tolist()
    svg = ET.fromstring(saved(tab, "SVG"))
    drawn = [c for c in svg.iter("{http://www.w3.org/2000/svg}circle")]
    assert len(drawn) == len(front.distinct) + (~front.mask).sum()


def test_the_slider_shows_the_architecture_of_other_steps(tab, front):
    row = front.distinct[-1]
    tab.click_point(key(row))
    slider = tab.find("section.chosen input[type=range]")
    slider.focus()
    slider.press("Home")
    first = f"{row['trial']}|1"
    tab.wait("k => document.querySelector('section.chosen')?.dataset.key === k", first)
    genotype = next(r["architecture"] for r in front.rows if key(r) == first)
    tab.wait(
        "t => document.querySelector('code.architecture')?.innerText === t",
        Genotype.from_json(genotype).to_text(),
    )


def test_the_sweep_can_be_looked_at_as_it_was(tab, front):
    tab.find(".timeline input").focus()
    tab.page.keyboard.press("Home")
    tab.count(0)
    assert f"{len(front)} later points" in tab.text(".status")
    tab.find("button:text-is('Play the sweep')").click()
    tab.wait("() => /^[1-9]/.test(document.querySelector('.status').innerText)")
    tab.find(".timeline button").click()
    tab.count(len(front))


def test_the_hypervolume_is_that_of_the_front_file(tab, front):
    tab.count(len(front))
    share = front.hypervolume((0.0, 7e7)) / 7e7
    assert tab.text("section:has(h2:has-text('Hypervolume')) p").startswith(f"{share:.4g}"[:6])
    assert "reference point: flops 70M, child_accuracy 0.00 %" in tab.text("main")
    tab.find("select[aria-label='Hypervolume over']").select_option("runs")
    ends = tab.find("section:has(h2:has-text('Hypervolume')) .axes text").all_text_contents()
    assert "10" in ends  # runs
    tab.find("select[aria-label='Hypervolume over']").select_option("time")
    assert "minutes since the first point" in tab.find("main").inner_html()


def test_the_keyboard_walks_along_the_front(tab, front):
    keys = [key(row) for row in front.distinct]
    tab.find(".plot").focus()
    for wanted in (keys[0], keys[1], keys[2]):
        tab.page.keyboard.press("ArrowRight")
        tab.wait("k => document.querySelector('section.chosen')?.dataset.key === k", wanted)
    tab.page.keyboard.press("p")
    tab.page.keyboard.press("ArrowLeft")
    tab.wait("k => document.querySelector('section.chosen')?.dataset.key === k", keys[1])
    tab.wait("k => document.querySelector('section.pinned')?.dataset.key === k", keys[2])
    tab.page.keyboard.press("Escape")
    tab.wait("() => !document.querySelector('section.pinned')")
    label = tab.find(".plot svg").get_attribute("aria-label")
    assert f"{len(front)} points, {len(front.front)} of them on the front" in label


def test_a_hint_names_the_config_and_the_architecture(tab, front):
    row = front.distinct[1]
    tab.page.mouse.move(*tab.middle(f'circle.member[data-key="{key(row)}"]'))
    tab.wait("() => document.querySelector('.words')?.innerText.startsWith('N ')")
    hint = tab.text(".hint")
    assert row["trial"] in hint
    assert f"penalty_strength {row['penalty_strength']:.4g}"[:20] in hint
    tab.page.mouse.move(2, 300)
    tab.find(".hint").wait_for(state="hidden")


def test_dark_mode_follows_tensorboard(tab):
    def paper():
        return tab.frame.evaluate("() => getComputedStyle(document.body).backgroundColor")

    light = paper()
    tab.page.evaluate("() => document.body.classList.add('dark-mode')")
    tab.wait("() => document.body.classList.contains('dark')")
    assert paper() != light
    tab.find("tr[data-key] button").first.click()
    tab.wait("() => document.querySelector('img.part')?.src.includes('dark=1')")


def test_another_cost_axis_has_a_front_of_its_own(tab, front):
    tab.find("select[name=x]").select_option("params")
    other = ParetoFront(front.table, (("child_accuracy", "max"), ("params", "min")))
    tab.wait(
        "k => document.querySelector('tr[data-key]')?.dataset.key === k", key(other.distinct[0])
    )
    assert tab.keys() == [key(row) for row in other.distinct]
    assert "params: weights of the child network" in tab.find(".plot").inner_html()
    tab.find("select[name=x]").select_option("latency_ms")
    tab.count(0)
    assert f"{len(front)} points that are NaN or infinite" in tab.text(".status")
