"""The pages in a real browser: headless Chromium through Playwright."""

import io
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cfexplain.report import render
from cfexplain.report.audit import audit_page
from cfexplain.report.render import load_audit
from report_pages import HOSTILE

pytestmark = pytest.mark.slow

VIEWS = {
    "desktop": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 375, "height": 812}, "color_scheme": "light", "has_touch": True},
    "narrow": {"viewport": {"width": 320, "height": 640}, "color_scheme": "dark"},
}
FAULTS = """() => {
  const faults = [];
  const name = (e) => e.getAttribute("aria-label") || e.textContent.trim()
    || (e.labels && [...e.labels].map((l) => l.textContent).join("").trim());
  for (const e of document.querySelectorAll("a, button, summary, input, select, [role=region]"))
    if (!name(e)) faults.push("no name: " + e.outerHTML.slice(0, 90));
  for (const e of document.querySelectorAll("img")) if (!e.hasAttribute("alt")) faults.push("no alt");
  for (const e of document.querySelectorAll("svg:not([aria-hidden])"))
    if (!e.getAttribute("aria-label")) faults.push("svg without a name");
  for (const e of document.querySelectorAll("[aria-labelledby]"))
    if (!document.getElementById(e.getAttribute("aria-labelledby"))) faults.push("labelled by nothing: " + e.className);
  for (const e of document.querySelectorAll("th:not([scope])")) if (e.textContent) faults.push("th without scope");
  if (document.querySelectorAll("h1").length !== 1) faults.push("not one h1");
  if (document.querySelectorAll("main").length !== 1) faults.push("not one main");
  if (!document.documentElement.lang || !document.title) faults.push("no language or title");
  const levels = [...document.querySelectorAll("h1, h2, h3, h4")].map((e) => Number(e.tagName[1]));
  levels.forEach((level, k) => { if (k && level > levels[k - 1] + 1) faults.push("a heading is skipped"); });
  return faults;
}"""
"""What a checker such as axe looks for first."""

FAINT = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  canvas.canvas.width = canvas.canvas.height = 1;
  const over = (colours) => {
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => rgb.map((v) => v / 255).map((v) => (v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4))
    .reduce((sum, v, k) => sum + v * [.2126, .7152, .0722][k], 0);
  const faint = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    const words = walker.currentNode.data.trim().slice(0, 30);
    if (!words || e.closest("script, style, .hidden, .skip, :disabled") || !e.checkVisibility()) continue;
    const grounds = [];
    for (let up = e; up; up = up.parentElement) grounds.unshift(getComputedStyle(up).backgroundColor);
    const style = getComputedStyle(e);
    const ink = e.closest("svg") ? style.fill : style.color;
    const [a, b] = [over(["white", ...grounds]), over(["white", ...grounds, ink])].map(light).sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) faint.add(`${ratio.toFixed(2)} ${e.tagName}.${e.className} ${words}`);
  }
  return [...faint];
}"""
"""Text with less contrast than WCAG's AA asks for."""


class Watched:
    """A page that fails the test on any request that leaves it, any error and any dialog."""

    def __init__(self, browser, path: Path, view: str = "desktop") -> None:
        self.context = browser.new_context(**VIEWS[view])
        self.page = self.context.new_page()
        self.faults: list[str] = []
        self.page.on("request", lambda r: self.note(not r.url.startswith(("file:", "data:")), r.url))
        self.page.on("console", lambda m: self.note(m.type in ("error", "warning"), m.text))
        self.page.on("pageerror", lambda e: self.note(True, str(e)))
        self.page.on("dialog", lambda d: (self.note(True, "a dialog"), d.dismiss()))
        self.page.goto(path.resolve().as_uri())

    def note(self, bad: bool, text: str) -> None:
        if bad:
            self.faults.append(text)

    def __enter__(self):
        return self.page

    def __exit__(self, kind, *_) -> None:
        self.context.close()
        if kind is None:
            assert self.faults == []


@pytest.fixture(scope="session")
def lesion_report(lesion, tmp_path_factory) -> Path:
    """A lesion's page."""
    return render(lesion, tmp_path_factory.mktemp("lesion-report"))


@pytest.fixture(scope="session")
def audit_report(audit, tmp_path_factory) -> Path:
    """An audit's page with the pages of its cases."""
    return render(audit, tmp_path_factory.mktemp("audit-report"))


def pixels(page) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB"), dtype=float)


def shown_rows(page, column: int) -> list[str]:
    return page.eval_on_selector_all(
        "table.data tbody tr", "(rows, k) => rows.map((row) => row.children[k].textContent)", column
    )


def count(page) -> int:
    return int(page.locator(".count").inner_text().split()[0])


def test_the_slider_moves_by_keyboard(browser, lesion_report):
    with Watched(browser, lesion_report) as page:
        slider = page.get_by_role("slider", name="Compare query and counterfactual")
        slider.focus()
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        assert slider.input_value() == "53"
        after = page.locator(".side.after img")
        assert after.evaluate("e => getComputedStyle(e).clipPath") == "inset(0px 0px 0px 53%)"
        assert "53 percent" in slider.get_attribute("aria-valuetext")
        page.keyboard.press("Home")
        assert after.evaluate("e => getComputedStyle(e).clipPath") in ("inset(0px)", "inset(0px 0px 0px 0%)")
        page.get_by_role("radio", name="Blend").check()
        slider.focus()
        page.keyboard.press("End")
        assert after.evaluate("e => getComputedStyle(e).opacity") == "1"


def test_the_slider_moves_by_mouse(browser, lesion_report):
    with Watched(browser, lesion_report) as page:
        slider = page.get_by_role("slider", name="Compare query and counterfactual")
        before = pixels(page)
        box = slider.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + box["height"] / 2, steps=4)
        page.mouse.up()
        assert abs(int(slider.input_value()) - 20) <= 1
        left = page.locator(".divider").bounding_box()["x"] + 1
        assert abs(left - (box["x"] + 0.2 * box["width"])) < 8
        assert np.abs(pixels(page) - before).max() > 50


def test_the_path_walks(browser, lesion_report):
    with Watched(browser, lesion_report) as page:
        slider = page.get_by_role("slider", name="Share")
        slider.focus()
        page.keyboard.press("End")
        assert page.locator(".walk output").inner_text() == "1.5"
        page.get_by_role("button", name="Play").click()
        page.get_by_text("1.2", exact=True).wait_for()
        page.get_by_role("button", name="Pause").click()


def test_columns_sort_by_mouse_and_by_keyboard(browser, audit_report):
    with Watched(browser, audit_report) as page:
        heads = page.locator("table.data thead th")
        names = heads.all_inner_texts()
        place = names.index("p(target) after")
        heads.nth(place).get_by_role("button").click()
        assert heads.nth(place).get_attribute("aria-sort") == "ascending"
        values = [float(v) for v in shown_rows(page, place)]
        assert values == sorted(values)
        page.keyboard.press("Enter")
        assert heads.nth(place).get_attribute("aria-sort") == "descending"
        values = [float(v) for v in shown_rows(page, place)]
        assert values == sorted(values, reverse=True)
        assert page.locator("th[aria-sort]").count() == 1
        heads.nth(0).get_by_role("button").click()
        names = shown_rows(page, 0)
        assert names == sorted(names)


def test_what_is_not_known_sorts_last(browser, audit_report):
    with Watched(browser, audit_report) as page:
        place = page.locator("table.data thead th").all_inner_texts().index("p(target) after")
        for _ in range(2):
            page.locator("table.data thead th").nth(place).get_by_role("button").click()
            page.get_by_role("button", name="Next").click()
            page.get_by_role("button", name="Next").click()
            assert shown_rows(page, place)[-1] == "–"
            assert page.get_by_role("button", name="Next").is_disabled()


def test_filters_narrow_the_rows(browser, audit_report, audit):
    rows = pd.concat([pd.read_parquet(p) for p in sorted((audit / "rows").iterdir())])
    with Watched(browser, audit_report) as page:
        assert count(page) == len(rows) == 130
        page.get_by_role("combobox", name="verdict").select_option(
            label=f"fragile ({(rows['verdict'] == 'fragile').sum()})"
        )
        assert count(page) == (rows["verdict"] == "fragile").sum()
        page.get_by_role("combobox", name="classifier").select_option(index=1)
        both = (rows["verdict"] == "fragile") & (rows["classifier"] == "ham10000")
        assert count(page) == both.sum()
        assert "verdict=fragile" in page.url
        page.get_by_role("button", name="Clear").click()
        page.get_by_text("130 of 130 rows").wait_for()
        page.get_by_label("Search text").fill("isic_0000077")
        assert shown_rows(page, 0) == ["ISIC_0000077"]
        page.get_by_label("Search text").fill("image is damaged")
        assert count(page) == (rows["status"] == "failed").sum()
        page.get_by_label("Search text").fill("")
        page.get_by_label("Measure").select_option(label="margin")
        page.get_by_label("at least").fill("0.25")
        page.get_by_label("at most").fill("0.5")
        assert abs(count(page) - rows["margin"].between(0.25, 0.5).sum()) <= 1


def test_columns_are_chosen_and_pages_turned(browser, audit_report):
    with Watched(browser, audit_report) as page:
        page.get_by_text("Columns", exact=True).click()
        page.get_by_role("checkbox", name="age", exact=True).check()
        assert "age" in page.locator("table.data thead th").all_inner_texts()
        first = shown_rows(page, 0)
        page.get_by_role("button", name="Next").click()
        assert not set(first) & set(shown_rows(page, 0))


def test_links_lead_to_rows_and_to_cases_and_back(browser, audit_report):
    with Watched(browser, audit_report) as page:
        page.locator(".tiles a").last.click()
        page.get_by_text("1 of 130 rows").wait_for()
        assert set(shown_rows(page, 3)) == {"failed"}
        page.get_by_role("button", name="Clear").click()
        page.locator("table.data a").first.click()
        page.wait_for_url("**/pages/case-00000.html*")
        page.get_by_role("link", name="next").click()
        page.wait_for_url("**/pages/case-00001.html*")
        page.get_by_role("link", name="Audit of").click()
        page.wait_for_url("**/report.html*")


def test_hostile_text_does_nothing(browser, lesions, tmp_path):
    case = tmp_path / "run" / "cases" / "x"
    shutil.copytree(lesions / "lesion-1", case)
    (tmp_path / "run" / "rows").mkdir()
    names = ("image_id", "classifier", "asked", "source", "target", "status", "verdict", "words", "error")
    rows = pd.DataFrame({name: [HOSTILE, "b"] for name in names}).assign(case="x")
    rows.to_parquet(tmp_path / "run" / "rows" / f"part-{0:08d}-{1:08d}.parquet")
    with Watched(browser, render(tmp_path / "run")) as page:
        assert shown_rows(page, 0) == [HOSTILE, "b"]
        page.get_by_role("combobox", name="verdict").select_option(index=1)
        assert count(page) == 1


def test_nothing_can_leave_a_page(browser, lesion_report):
    watched = Watched(browser, lesion_report)
    refused = watched.page.evaluate("""() => new Promise((done) => {
        document.addEventListener("securitypolicyviolation", (e) => done(e.effectiveDirective));
        fetch("https://example.org/").catch(() => 0);
        setTimeout(() => done("nothing"), 2000);
    })""")
    assert refused == "connect-src"
    assert not [url for url in watched.faults if url.startswith("http")]
    watched.context.close()


def test_the_checks_see_what_they_look_for(browser, lesion_report):
    with Watched(browser, lesion_report) as page:
        page.evaluate("document.querySelector('h1').style.color = '#aaa'")
        page.evaluate("document.querySelectorAll('img')[0].removeAttribute('alt')")
        page.evaluate("document.querySelector('.walk button').textContent = ''")
        assert len(page.evaluate(FAINT)) == 1
        assert len(page.evaluate(FAULTS)) == 2


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("which", ["lesion_report", "audit_report"])
def test_every_view_is_readable(browser, which, view, request, tmp_path):
    with Watched(browser, request.getfixturevalue(which), view) as page:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.evaluate("document.querySelectorAll('details').forEach((e) => { e.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate(FAULTS) == []
        assert page.evaluate(FAINT) == []
        bright = pixels(page).mean() > 127
        assert bright == (VIEWS[view]["color_scheme"] == "light")


@pytest.mark.parametrize("which", ["lesion_report", "audit_report"])
def test_everything_is_reached_by_the_tab_key_and_seen_when_it_is(browser, which, request):
    with Watched(browser, request.getfixturevalue(which)) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "content"
        page.keyboard.press("Tab")
        seen = "e => { const s = getComputedStyle(e.closest('.stage') ?? e); return s.outlineStyle + s.outlineWidth; }"
        assert page.evaluate(f"({seen})(document.activeElement)") == "solid3px"


@pytest.mark.parametrize("which", ["lesion_report", "audit_report"])
def test_a_page_prints(browser, which, request, tmp_path):
    with Watched(browser, request.getfixturevalue(which), "dark") as page:
        printed = page.pdf(format="A4")
        assert printed.startswith(b"%PDF")
        assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 8
        page.emulate_media(media="print")
        assert page.locator(".banner").is_visible()
        if which == "lesion_report":
            before, after = (page.locator(f".side.{side}").bounding_box() for side in ("before", "after"))
            assert before["x"] + before["width"] <= after["x"]
            assert page.locator(".side.after img").evaluate("e => getComputedStyle(e).clipPath") == "none"


def test_fifteen_hundred_rows_are_shown_sorted_and_searched(browser, large_audit, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(audit_page("A large audit", *load_audit(large_audit)))
    assert path.stat().st_size < 5_000_000
    with Watched(browser, path) as page:
        page.locator("table.data tbody tr").nth(49).wait_for()
        assert count(page) == 1500
        page.locator("table.data thead button").nth(6).click()
        page.get_by_label("Search text").fill("ISIC_00001")
        assert count(page) == 100


def test_plots_draw_every_row_that_they_count(browser, audit_report):
    with Watched(browser, audit_report) as page:
        scatter = page.locator(".chart").first
        counted = sum(int(text.split()[-1]) for text in scatter.locator(".legend li").all_inner_texts())
        assert scatter.locator("use").count() == counted > 100
        colours = scatter.locator("g").evaluate_all("all => all.map((g) => getComputedStyle(g).fill)")
        assert len(set(colours)) == len(colours) == 5
        plot, point = scatter.locator("svg").bounding_box(), scatter.locator("use").first.bounding_box()
        assert plot["x"] - 5 <= point["x"] <= plot["x"] + plot["width"]
        assert plot["y"] - 5 <= point["y"] <= plot["y"] + plot["height"]
