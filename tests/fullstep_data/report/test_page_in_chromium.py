"""The report as a person sees it, in headless Chromium: `pytest -m browser tests/fullstep_data/report`.

Needs Playwright (`pip install -e '.[browser]'`) and a Chromium (`apt-get install chromium`, or CHROMIUM=path of one).
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from fullstep_data.report.page import page, write
from fullstep_data.store import Version
from tests.fullstep_data.formats.trips import golden, import_records
from tests.fullstep_data.report.conftest import PROGRAM
from tests.fullstep_data.report.sums import build, questions

pytestmark = pytest.mark.browser

DESK = (1280, 900)
PHONE = (390, 844)
CHARTS = 7


@dataclass
class Seen:
    """A report in the browser: Playwright's page, what it said on the console, and every address that it asked for."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def count(self, selector: str) -> int:
        return self.page.locator(selector).count()

    def text(self, selector: str) -> str:
        return self.page.locator(selector).first.inner_text()

    def value(self, script: str) -> Any:
        return self.page.evaluate(script)

    def drawn(self, look: str, charts: int = CHARTS) -> None:
        """Wait until all charts are drawn in a look."""
        self.page.wait_for_function("wanted => document.documentElement.dataset.drawn === wanted", arg=f"{look} {charts}")


Look = Callable[..., Seen]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def reports(version: Version, versions: tuple[Version, Version], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """one.html: a dataset; two.html: two versions compared; bare.html: it was never scored; labels.html: an import."""
    folder = tmp_path_factory.mktemp("reports")
    write(page(version), folder / "one.html")
    write(page(versions[1], versions[0]), folder / "two.html")
    write(page(build(folder / "bare", questions(6), stages=4)), folder / "bare.html")
    imported, _ = import_records("math-shepherd", golden("math-shepherd")[:2], folder, prompt_label="drop")
    write(page(imported), folder / "labels.html")
    return folder


@pytest.fixture
def see(chromium: Any, reports: Path) -> Iterator[Look]:
    """see(name, size, look) opens a report. At the end: nothing on the console, and no request but for the file itself."""
    opened: list[Seen] = []

    def see(name: str = "one", size: tuple[int, int] = DESK, look: str = "light", anchor: str = "") -> Seen:
        context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=look)
        seen = Seen(context.new_page())
        opened.append(seen)
        seen.page.on("console", lambda message: seen.complaints.append(message.text))
        seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.goto(f"{(reports / name).as_uri()}.html{anchor}")
        return seen

    yield see
    for seen in opened:
        assert seen.complaints == []
        assert [url.split("#")[0].rsplit("/", 1)[-1] for url in seen.requests] == [seen.page.url.split("#")[0].rsplit("/", 1)[-1]]
        seen.page.context.close()


@pytest.mark.parametrize("look", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE])
def test_charts_are_drawn_and_fit(see: Look, size: tuple[int, int], look: str):
    seen = see(size=size, look=look)
    seen.drawn(look)
    assert seen.count(".chart svg[role=img]") == CHARTS
    # Bars and outlines, not only axes.
    assert (
        min(seen.value("[...document.querySelectorAll('.chart svg')].map(one => one.querySelectorAll('.role-mark path').length)"))
        > 0
    )
    # Nothing is wider than the window, so nothing scrolls sideways but the tables and the menu, each on its own.
    assert seen.value("document.documentElement.scrollWidth") == size[0]
    right = seen.value(
        "Math.max(...[...document.querySelectorAll('.chart svg, #detail, .list, .flow, h1, .lead')]"
        ".map(one => one.getBoundingClientRect().right))"
    )
    assert right <= size[0]
    # 12 pixels is the smallest text, axes of charts included.
    least = seen.value(
        "Math.min(...[...document.querySelectorAll('main *')].filter(one => one.textContent.trim())"
        ".map(one => parseFloat(getComputedStyle(one).fontSize)))"
    )
    assert least >= 12


def test_the_look_follows_the_system_and_the_button(see: Look):
    seen = see(look="dark")
    seen.drawn("dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = seen.value(ground)
    seen.page.click("#look")
    seen.drawn("light")
    assert seen.text("#look") == "Look: light"
    assert seen.value(ground) != dark
    seen.page.click("#look")
    seen.drawn("dark")
    assert seen.value(ground) == dark
    seen.page.click("#look")
    seen.page.emulate_media(color_scheme="light")
    seen.drawn("light")


def test_a_chart_tells_its_numbers_under_the_pointer_and_as_a_table(see: Look):
    seen = see()
    seen.drawn("light")
    seen.page.locator("#figure-scores .chart").scroll_into_view_if_needed()
    seen.page.locator("#figure-scores .chart svg").hover()
    seen.page.wait_for_selector("#vg-tooltip-element.visible")
    assert "solutions)" in seen.text("#vg-tooltip-element")
    seen.page.click("#figure-scores summary")
    assert seen.page.locator("#figure-scores table").is_visible()
    assert seen.count("#figure-scores tbody tr") == 40  # 20 bins of right, 20 of wrong


def test_filters_keep_the_problems_that_they_name(see: Look, version: Version):
    seen = see()
    assert seen.text("#count") == "31 problems"
    problems = version.frame("problems")
    seen.page.select_option("#split", "test")
    assert seen.text("#count") == f"{problems['split'].to_list().count('test')} of 31 problems"
    assert seen.count("#list li") == problems["split"].to_list().count("test")
    seen.page.select_option("#split", "")
    paired = version.frame("pairs")["problem_id"].n_unique()
    seen.page.select_option("#show", "paired")
    assert seen.text("#count") == f"{paired} of 31 problems"
    seen.page.select_option("#show", "mixed")
    mixed = version.frame("solutions").group_by("problem_id").agg(pl.col("correct").n_unique())
    assert seen.text("#count") == f"{(mixed['correct'] == 2).sum()} of 31 problems"
    seen.page.select_option("#show", "")
    seen.page.fill("#below", "0.1")
    lowest = version.frame("step_scores").group_by("problem_id").min()
    assert seen.text("#count") == f"{(lowest['reward'] < 0.1).sum()} of 31 problems"
    seen.page.select_option("#order", "lowest")
    first = seen.value("document.querySelector('#list .meta').textContent")
    assert f"lowest {lowest['reward'].min():.2f}" in first
    seen.page.fill("#search", "no question has these words")
    assert seen.count("#list li") == 0
    assert seen.text("#count").startswith("No problem is like that")


def test_search_finds_words_in_any_order(see: Look, version: Version):
    seen = see()
    question = version.frame("problems")["question"][-1]
    words = question.removeprefix("What is ").split(" ", 1)
    seen.page.fill("#search", f"{words[1].rstrip('?')} WHAT {words[0]}")
    assert question in seen.page.locator("#list .question").all_inner_texts()


def test_a_program_in_a_question_is_shown_and_not_run(see: Look):
    seen = see()
    seen.page.fill("#search", "hacked")
    assert seen.page.locator("#list .question").all_inner_texts() == [PROGRAM]
    seen.page.click("#list button")
    seen.page.wait_for_function("wanted => document.querySelector('#detail h3').textContent === wanted", arg=PROGRAM)
    assert seen.value("typeof window.hacked") == "undefined"
    assert seen.count("#detail img") == 0
    compared = see("two")
    assert compared.value("typeof window.hacked") == "undefined"


def test_steps_are_coloured_by_their_reward_and_say_it(see: Look):
    seen = see()
    seen.page.wait_for_selector("#detail .steps li")
    steps = seen.value("""[...document.querySelectorAll('#detail .steps li')].map(one => [
        parseFloat(one.querySelector('.reward').textContent), one.className,
        getComputedStyle(one.querySelector('.words')).backgroundColor])""")
    assert all((kind == "high") == (reward >= 0.495) for reward, kind, _ in steps if abs(reward - 0.5) > 0.01)
    assert len({colour for _, _, colour in steps}) > 2


def test_pairs_stand_side_by_side_and_under_each_other_on_a_phone(see: Look):
    for size, beside in ((DESK, True), (PHONE, False)):
        seen = see(size=size)
        seen.page.click("#tab-pairs")
        chosen, rejected = seen.page.locator(".sides > div").all()
        assert chosen.locator(".verdict").inner_text() == "right"
        assert rejected.locator(".verdict").inner_text() == "wrong"
        assert (chosen.bounding_box()["y"] == rejected.bounding_box()["y"]) == beside
        before = seen.text(".pair-pick option:checked")
        seen.page.click("button[aria-label='Next pair']")
        options = seen.count(".pair-pick option")
        assert (seen.text(".pair-pick option:checked") != before) == (options > 1)


def test_everything_can_be_reached_by_keys(see: Look):
    seen = see()
    keyboard = seen.page.keyboard
    seen.page.wait_for_selector("#detail [role=tab]")
    keyboard.press("Tab")
    assert seen.value("document.activeElement.textContent") == "Skip to the report"
    keyboard.press("/")
    assert seen.value("document.activeElement.id") == "search"
    keyboard.type("what")
    seen.page.select_option("#show", "paired")
    order = []
    for _ in range(6):
        keyboard.press("Tab")
        order.append(seen.value("document.activeElement.id || document.activeElement.closest('[id]').id"))
    assert order[:4] == ["split", "show", "below", "order"]
    assert order[-1] == "list"
    keyboard.press("ArrowUp")
    keyboard.press("ArrowDown")
    keyboard.press("ArrowDown")
    wanted = seen.value("document.activeElement.querySelector('.question').textContent")
    keyboard.press("Enter")
    seen.page.wait_for_function("one => document.querySelector('#detail h3').textContent === one", arg=wanted)
    # The ring around what has the focus is there to be seen.
    assert seen.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    seen.page.focus("[role=tab][aria-selected=true]")
    keyboard.press("ArrowRight")
    assert seen.value("document.activeElement.id") == "tab-pairs"
    assert seen.page.locator("#tab-pairs").get_attribute("aria-selected") == "true"
    assert seen.count(".sides > div") == 2


def test_looks_changed_in_haste_end_in_the_last(see: Look):
    seen = see()
    for _ in range(4):
        seen.page.click("#look")
    seen.drawn("light")  # auto, light, dark, auto, light
    seen.page.wait_for_timeout(500)
    seen.drawn("light")
    assert seen.count(".chart svg") == CHARTS


def test_a_link_opens_its_problem(see: Look, version: Version):
    problem = version.frame("pairs")["problem_id"][-1]
    questions_by_id = dict(version.frame("problems").select("problem_id", "question").iter_rows())
    seen = see(anchor=f"#problem={problem}")
    seen.page.wait_for_function("one => document.querySelector('#detail h3')?.textContent === one", arg=questions_by_id[problem])


def test_versions_compared_are_drawn_and_filtered(see: Look):
    seen = see("two")
    seen.drawn("light", CHARTS + 2)
    assert "compared with version 1" in seen.text(".facts")
    seen.page.select_option("#show", "lost")
    lost = seen.value(
        "JSON.parse(document.getElementById('data').textContent).problems.filter(one => one.fate === 'lost').length"
    )
    assert seen.count("#list li") == lost


def test_a_dataset_without_scores_can_be_leafed_through(see: Look):
    seen = see("bare")
    seen.drawn("light", 2)
    assert seen.count(".note") == 3
    seen.page.wait_for_selector("#detail .steps li")
    assert seen.text("#detail .reward") == "–"


def test_labels_colour_the_steps_where_nothing_is_scored(see: Look):
    seen = see("labels")
    seen.page.wait_for_selector("#detail .steps li")
    shown = seen.value("""[...document.querySelectorAll('#detail .steps li')].map(one => [
        one.querySelector('.reward small').textContent, one.className])""")
    assert {tuple(one) for one in shown} == {("label 1", "high"), ("label 0", "low")}
    assert seen.text(".scale").startswith("label 0")
    assert "no gold answer" in seen.text("#detail .facts")
    seen.page.click("#tab-pairs")
    assert seen.text("#panel .empty") == "No pairs: it takes a right and a wrong solution, both scored."


def test_a_problem_without_pairs_says_why(see: Look, version: Version):
    dropped = version.frame("rejects").filter((pl.col("stage") == "pairs") & (pl.col("table") == "problems"))
    for problem, reason in dropped.select("key", "reason").head(2).iter_rows():
        seen = see(anchor=f"#problem={problem}")
        seen.page.click("#tab-pairs")
        assert seen.text("#panel .empty") == f"No pairs: {reason}."
    assert dropped.height > 0
