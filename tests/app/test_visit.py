"""What a visit does, without a page: pictures in, sights and a record out, nothing left behind."""

import base64
import io
import json
import sys
import time
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load
from typer.testing import CliRunner

from cfexplain.app import fragment, launch
from cfexplain.app.ask import Ask
from cfexplain.app.page import MISSING, _Page, build
from cfexplain.app.search import EVERY, Stopped
from cfexplain.app.sight import Growing, Grown
from cfexplain.app.studio import MOST_VISITS, Studio
from cfexplain.images import ImageError, round8, save_png
from cfexplain.types import Status

pytestmark = pytest.mark.slow

PLAIN = Ask(method="pixels")
FILES = {
    "query.png", "anchor.png", "counterfactual.png", "change.png", "panel.png", "fullsize.png", "tensors.safetensors",
    "result.json", "report.html",
}  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with Studio(("synthetic",), "cpu", tmp_path_factory.mktemp("studio")) as studio:
        yield studio


@pytest.fixture
def visit(shared, request):
    visit = shared.visit(request.node.name)
    visit.example(0)
    visit.look("synthetic")
    yield visit
    shared.end(request.node.name)


@pytest.fixture(scope="module")
def grown(shared):
    """One search to its end: the sights, the result, and the archive's files."""
    visit = shared.visit("grown")
    visit.example(0)
    visit.look("synthetic")
    began = time.perf_counter()
    *sights, end = visit.explain(PLAIN)
    seconds = time.perf_counter() - began
    with zipfile.ZipFile(end.archive) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    return sights, end, files, seconds


def test_a_picture_is_predicted_at_once(visit):
    chances = visit.chances()
    assert sorted(name for name, _ in chances) == ["benign", "malignant"]
    assert sum(p for _, p in chances) == pytest.approx(1, abs=1e-5)
    assert chances[0][1] > chances[1][1]


def test_the_counterfactual_grows_in_sights_that_are_not_too_many(grown):
    sights, end, _, seconds = grown
    assert sights
    assert all(isinstance(sight, Growing) for sight in sights)
    assert len(sights) <= seconds / EVERY + 2
    stages = [sight.stage for sight in sights]
    assert stages == sorted(stages, key=["anchor", "edit", "judge"].index)
    assert all(sight.image.shape == (3, 64, 64) for sight in sights)
    assert len(sights[-1].trail) == end.explanation.edit.steps[0] == len(end.explanation.edit.history[0])
    assert sights[-1].trail[-1] > sights[-1].trail[0]


def test_the_record_is_what_explain_writes_and_a_page(grown):
    _, end, files, _ = grown
    assert isinstance(end, Grown)
    folder = end.folder.name
    assert set(files) == {f"{folder}/{name}" for name in FILES}
    record = json.loads(files[f"{folder}/result.json"])
    assert record == end.record
    assert record["status"] == "found"
    assert record["verdict"]["kind"] in ("semantic", "unconfirmed", "fragile", "adversarial")
    assert record["provenance"]["classifier"] == "synthetic"
    assert "CC0" in record["provenance"]["licence"]
    assert torch.equal(load(files[f"{folder}/tensors.safetensors"])["image"], end.result.image)
    assert record["finding"][:20].encode() in files[f"{folder}/report.html"]


def test_pieces_of_the_page_say_what_the_record_says(grown):
    _, end, _, _ = grown
    assert end.explanation.verdict.kind.value in fragment.verdict(end)
    assert "Does the flip survive ordinary damage?" in fragment.reasons(end)
    assert "Asymmetry" in fragment.reasons(end)
    assert "data:image/webp" in fragment.changed(end)
    assert fragment.bars(end).count("<tr") == 3
    before, after = (Image.open(path) for path in fragment.slides(end))
    assert before.size == after.size == (fragment.SHARPEST, fragment.SHARPEST)


def test_nothing_changes_outside_of_the_region(visit):
    region = torch.zeros(1, 64, 64)
    region[:, 16:48, 20:44] = 1
    *_, end = visit.explain(Ask(method="pixels", region=region))
    outside = (region == 0).expand(3, -1, -1)
    assert torch.equal(end.result.image[0][outside], round8(end.result.query)[0][outside])
    assert not end.result.difference[0][outside].any()
    assert end.result.difference[0][~outside].any()
    assert torch.equal(end.result.region[0], region)


def test_a_region_may_be_painted_at_another_size_or_be_the_lesion(visit):
    drawn = torch.zeros(1, 256, 256)
    drawn[:, 64:128, 64:128] = 1
    *_, end = visit.explain(Ask(method="pixels", budget=0.5, region=drawn))
    assert float(end.result.region.mean()) == pytest.approx(1 / 16)
    outline = visit.outline()
    assert outline.shape == (1, 64, 64)
    assert 0.02 < float(outline.mean()) < 0.6
    assert "may change" in fragment.within(visit)


def test_what_is_painted_comes_as_a_picture_and_nothing_else_is_taken():
    drawn = Image.new("RGBA", (fragment.BOARD, fragment.BOARD))
    drawn.paste((22, 163, 184, 255), (10, 20, 30, 60))
    region = fragment.painted(_uri(drawn))
    assert region.shape == (1, fragment.BOARD, fragment.BOARD)
    assert float(region.sum()) == 20 * 40
    assert float(region[0, 20, 10]) == 1
    wrong = ["", "data:image/png;base64,!!", "data:text/html;base64,AAAA", _uri(Image.new("RGBA", (8, 8)))]
    for text in (*wrong, "data:image/png;base64," + "A" * (fragment.MOST_PAINTED + 1)):
        with pytest.raises(ValueError, match="did not arrive"):
            fragment.painted(text)


def _uri(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def test_stop_ends_the_search_cleanly_and_another_may_begin(visit):
    sights = visit.explain(Ask(method="natural"))
    assert isinstance(next(sights), Growing)
    assert visit.working
    visit.stop()
    with pytest.raises(Stopped):
        list(sights)
    assert not visit.working
    assert not visit._thread.is_alive()
    assert not list(visit.folder.glob("record-*"))
    *_, end = visit.explain(Ask(method="pixels", budget=0.2))
    assert end.result.status[0] in (Status.FOUND, Status.OUT_OF_BUDGET)


def test_leaving_in_the_middle_stops_the_search_and_removes_the_files(shared):
    visit = shared.visit("left")
    visit.example()
    visit.look("synthetic")
    sights = visit.explain(Ask(method="natural"))
    next(sights)
    shared.end("left")
    with pytest.raises(Stopped):
        list(sights)
    assert not visit.folder.exists()
    again = shared.visit("left")
    assert again is not visit
    shared.end("left")


def test_a_second_search_of_the_same_picture_has_to_wait(visit):
    sights = visit.explain(Ask(method="natural"))
    next(sights)
    with pytest.raises(ValueError, match="explained already"):
        next(visit.explain(PLAIN))
    sights.close()
    assert not visit.working


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("notes.png", b"no picture", "notes.png is not a picture that can be read"),
        ("cut.png", None, "cut.png is damaged or cut short"),
        ("tiny.png", 8, "tiny.png is 8x8 pixels: at least 16 a side"),
    ],
)
def test_a_bad_upload_is_a_sentence_by_the_visitors_name_for_it(shared, tmp_path, name, content, said):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        save_png(path, torch.rand(3, content or 64, content or 64))
        path.write_bytes(path.read_bytes()[: 2000 if content is None else None])
    visit = shared.visit("bad")
    with pytest.raises(ImageError, match=said) as raised:
        visit.read(path)
    assert str(tmp_path) not in str(raised.value)
    assert not path.exists()
    with pytest.raises(ValueError, match="there is no picture yet"):
        visit.look("synthetic")
    shared.end("bad")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_an_upload_is_read_and_deleted(shared, tmp_path, suffix):
    path = tmp_path / f"my lesion{suffix}"
    Image.fromarray(np.full((60, 90, 3), 140, np.uint8)).save(path)
    visit = shared.visit("upload")
    visit.read(path)
    assert visit.name == path.name
    assert visit.picture.shape == (3, 60, 90)
    assert not path.exists()
    assert len(visit.look("synthetic").logits) == 1
    shared.end("upload")


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (Ask(method="magic"), "there is no method magic"),
        (Ask(method="pixels", confidence=1.5), "confidence is a probability"),
        (Ask(method="pixels", budget=-1), "seconds above 0, got -1"),
        (Ask(method="pixels", region=torch.zeros(1, 8, 8)), "nothing is painted"),
        (Ask(method="pixels", region=torch.eye(256)[None]), "too thin"),
        (Ask(method="pixels", target="cancer"), "cancer"),
    ],
)
def test_a_question_that_cannot_be_asked_is_a_sentence(visit, ask, said):
    with pytest.raises(ValueError, match=said):
        list(visit.explain(ask))
    assert not visit.working


def test_only_classifiers_on_offer_are_loaded(shared):
    with pytest.raises(ValueError, match="not on offer: choose synthetic"):
        shared.shelf.load("ham10000")
    with pytest.raises(ValueError, match="at least one classifier"):
        Studio(())


def test_the_studio_leaves_nothing_behind(tmp_path):
    folder = tmp_path / "studio"
    studio = Studio(("synthetic",), "cpu", folder)
    one, two = studio.visit("one"), studio.visit("two")
    (folder / "upload").mkdir()
    (folder / "upload" / "lesion.png").write_bytes(b"x")
    studio.end("one")
    assert not one.folder.exists()
    assert (folder / "upload").exists(), "another visitor is still here"
    studio.end("two")
    assert not two.folder.exists()
    assert list(folder.iterdir()) == []
    studio.visit("three")
    studio.close()
    assert not folder.exists()


def test_visits_are_bounded_and_the_line_is_counted(tmp_path):
    with Studio(("synthetic",), "cpu", tmp_path / "studio") as studio:
        first = studio.visit("0")
        for k in range(1, MOST_VISITS + 1):
            studio.visit(str(k))
        assert not first.folder.exists()
        assert len(list(studio.folder.iterdir())) == MOST_VISITS
        assert [studio.queue_up(key) for key in ("a", "b", "a")] == [0, 1, 1]
        studio.end("b")
        assert studio.queue_up("c") == 1


def test_a_name_cannot_write_into_the_page(visit):
    visit.name = "<img src=x onerror=alert(1)>.png"
    assert "<img src=x" not in fragment.seen(visit, "synthetic")
    assert "<b>" not in fragment.message("<b>", "alert")


def test_without_gradio_there_is_one_sentence(monkeypatch):
    from cfexplain.cli import browser

    monkeypatch.setitem(sys.modules, "gradio", None)
    for call in (build, launch):
        with pytest.raises(ValueError, match="pip install"):
            call(("synthetic",), "cpu")
    done = CliRunner().invoke(browser.app, ["app", "--no-browser"])
    assert done.exit_code == 2
    assert done.stderr.strip() == f"cfexplain: {MISSING}"


def test_who_stops_while_waiting_does_not_begin(shared):
    class Gradio:
        def __getattr__(self, name):
            return lambda *values, **settings: settings

    page = object.__new__(_Page)
    page.studio, page.gr, page.shelf = shared, Gradio(), shared.shelf
    page.message = page.live = page.query = page.result = page.stop = page.go = None
    visit = shared.visit("waiting")
    visit.example(0)
    visit.look("synthetic")
    asked = ("auto", "", "", "pixels", None, None, None)
    shared.queue_up("waiting")
    page.halt("waiting")
    assert "waiting" not in shared.line
    assert len(list(page.explain("waiting", *asked))) == 1
    assert not (visit.folder / "1").exists()
    assert visit._count == 0, "no search was begun"
    shared.end("waiting")
