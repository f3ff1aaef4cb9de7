"""Numbers, names and axes as the pages write them."""

import math

import pytest

from cfexplain.report.gallery import page_name
from cfexplain.report.glossary import title
from cfexplain.report.page import aligned, clock, number, percent
from cfexplain.report.plots import axis_of
from cfexplain.report.rows import plain


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "0.123"), (1500, "1,500"), (-1500, "−1,500"), (1234.5, "1,234"), (2.0, "2"), (1.5e7, "15,000,000"),
        (1e-5, "1e−05"), (None, "–"), (math.nan, "–"), (-math.inf, "–"), (True, "yes"), (False, "no"), ("nv", "nv"),
    ],
)  # fmt: skip
def test_numbers(value, text):
    assert number(value) == text


def test_numbers_of_an_axis_have_its_decimals():
    assert (aligned(0.5, 1.0), aligned(12.34, 50.0), aligned(None, 1.0)) == ("0.50", "12.3", "–")


def test_percentages_have_a_decimal_next_to_nothing_and_all():
    shares = (0.314, 0.004, 0.996, 1, None, math.nan)
    assert [percent(share).replace("\u202f", " ") for share in shares] == ["31 %", "0.4 %", "99.6 %", "100 %", "–", "–"]


def test_durations():
    seconds = (5.04, 60, 89 * 60, 2 * 3600)
    assert [clock(s).replace("\u202f", " ") for s in seconds] == ["5.0 s", "1 min", "89 min", "2.0 h"]


def test_columns_in_words():
    names = ("place.lesion", "metric.mean_change", "meta.anatom_site", "before.diameter")
    assert [title(name) for name in names] == ["change on lesion", "mean change", "anatom site", "diameter before"]


def test_cells_of_the_table():
    assert [plain(v) for v in (72610531.0, 0.123456, math.nan)] == [72610531, 0.1235, None]


def test_axes_are_those_of_shares_or_round():
    assert (tuple(axis_of([0.2, 0.9])), tuple(axis_of([-3.2, 14.0]))) == ((0.0, 1.0), (-5.0, 15.0))


def test_a_name_that_is_unsafe_on_a_disk_gets_a_digest():
    assert (page_name("ISIC_0024308-mel"), page_name("a b")) == ("ISIC_0024308-mel.html", "a-b-c8687a08.html")
