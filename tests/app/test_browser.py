"""The app in Chromium: drop, paint, watch, stop, compare, download; nothing leaves this computer, nothing stays."""

import base64
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from safetensors.torch import load_file

from cfexplain.images import round8, save_png
from cfexplain_datasets.synthetic import SyntheticLesions

pytestmark = pytest.mark.slow
COMMAND = "from cfexplain.cli import main; main()"
PATIENCE = 120_000
"""Milliseconds: these tests may share two cores with others."""


class App:
    """The real command in a process of its own, with a temporary folder of its own."""

    def __init__(self, folder: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address, self.folder, self.log = f"http://127.0.0.1:{self.port}/", folder, folder.parent / "app.log"
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "TMPDIR": str(folder),
            "OMP_NUM_THREADS": "1",
        }
        arguments = ["app", "--classifier", "synthetic", "--port", str(self.port), "--no-browser", "--device", "cpu"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", COMMAND, *arguments], env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        self._wait()

    def _wait(self):
        for _ in range(PATIENCE // 500):
            if self.address in self.log.read_text():
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.5)
        self.process.kill()
        pytest.fail(f"the app did not start: {self.log.read_text()[-2000:]}")

    def files(self):
        """Files in the folder; `os.walk` ignores what the app removes meanwhile, `rglob` would raise."""
        return [Path(folder) / name for folder, _, names in os.walk(self.folder) for name in names]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@pytest.fixture(scope="module")
def app(browser, tmp_path_factory):
    pytest.importorskip("gradio", reason="Gradio is not installed: pip install 'cfexplain[app]'")
    app = App(_folder(tmp_path_factory))
    yield app
    if app.process.poll() is None:
        app.stop()


def _folder(factory):
    folder = factory.mktemp("app") / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def open_page(browser, app):
    """Open the page; in the end it must have asked nobody else and logged no error."""
    opened = []

    def visit(width=1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.requested, page.errors = [], []
        page.on("request", lambda request: page.requested.append(request.url))
        page.on("websocket", lambda websocket: page.requested.append(websocket.url))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
        page.goto(app.address)
        page.locator("#example").wait_for()
        opened.append(page)
        return page

    yield visit
    for page in opened:
        elsewhere = [url for url in page.requested if not url.startswith((app.address, "data:", "blob:", "about:"))]
        assert elsewhere == [], "no request leaves this computer"
        assert page.errors == []
        page.context.close()


@pytest.fixture(scope="module")
def lesion(tmp_path_factory):
    path = tmp_path_factory.mktemp("lesion") / "my-lesion.png"
    save_png(path, next(iter(SyntheticLesions(1, size=200, split="test"))).image)
    return path


def drop(page, path):
    """Drop a file on the page, not through the file dialogue."""
    page.locator("#upload button").first.wait_for()
    content = base64.b64encode(path.read_bytes()).decode()
    page.evaluate(
        """([content, name]) => {
            const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0)), data = new DataTransfer();
            data.items.add(new File([bytes], name, {type: "image/png"}));
            document.querySelector("#upload button").dispatchEvent(
                new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: data}));
        }""",
        [content, path.name],
    )


def choose_method(page, name):
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Method").click()
    page.get_by_role("option", name=name, exact=True).click()


def explained(page):
    """The report, once the search has ended."""
    page.locator("#explain").click()
    report = page.frame_locator("#report iframe")
    report.locator("h1").wait_for()
    return report


def download(page, to):
    with page.expect_download() as waiting:
        page.locator("#download").click()
    waiting.value.save_as(to)
    assert waiting.value.suggested_filename == "my-lesion.zip"
    with zipfile.ZipFile(to) as packed:
        packed.extractall(to.parent)
    return to.parent / "my-lesion"


def test_from_a_dropped_image_to_the_record(open_page, lesion, tmp_path):
    page = open_page()
    assert "Research use only" in page.locator("#header").inner_text()
    drop(page, lesion)
    page.locator("#explain").wait_for()
    assert "my-lesion.png as synthetic sees it: 64 × 64 pixels" in page.locator("#view figcaption").inner_text()
    assert page.locator("#prediction meter").count() == 2
    source = page.locator("#prediction h2").inner_text()
    target = page.get_by_label("Target class").input_value()
    assert {source, target} == {"benign", "malignant"}
    choose_method(page, "fast")
    page.locator("#explain").click()
    page.locator("#view progress").wait_for()
    page.locator("#view b", has_text=f"p({target}) =").wait_for()
    report = page.frame_locator("#report iframe")
    report.locator("h1").wait_for()
    assert re.search("unconfirmed|fragile|adversarial", report.locator(".verdict .badge").first.inner_text())
    assert report.locator("table.bars tbody tr").count() == 2
    assert report.locator(".change img").is_visible()
    assert report.locator(".evidence").is_visible()
    assert report.locator("table.abcd").is_visible()
    slider = report.get_by_role("slider", name="Compare query and counterfactual")
    slider.press("Home")
    assert slider.input_value() == "0"
    frame = page.locator("#report iframe")
    assert frame.evaluate("frame => frame.contentDocument.documentElement.offsetHeight - frame.clientHeight") == 0
    folder = download(page, tmp_path / "record.zip")
    record = json.loads((folder / "result.json").read_text())
    assert (record["source"], record["target"]) == (source, target)
    assert record["finding"] in report.locator("h1").inner_text().replace("\u202f%", " %")
    assert {"report.html", "counterfactual.png", "tensors.safetensors", "panel.png"} <= set(os.listdir(folder))


def paint(page):
    """Draw a stroke through the middle of the canvas."""
    page.get_by_label("where I paint").click()
    canvas = page.locator("#editor canvas").first
    canvas.scroll_into_view_if_needed()
    page.wait_for_timeout(4000)  # the editor loads its image after it is shown
    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 50, y)
    page.mouse.down()
    page.mouse.move(x + 50, y, steps=10)
    page.mouse.up()


def test_only_the_painted_region_changes_and_the_painting_stays(open_page, lesion, tmp_path):
    page = open_page()
    drop(page, lesion)
    page.locator("#explain").wait_for()
    paint(page)
    choose_method(page, "pixels")
    explained(page)
    stored = load_file(download(page, tmp_path / "record.zip") / "tensors.safetensors")
    region = stored["region"][0, 0] > 0
    assert 0.02 < float(region.float().mean()) < 0.5
    assert region[32, 26:38].all()
    assert not region[:15].any()
    difference = (stored["painted"] - stored["anchor"])[0]
    assert not difference[:, ~region].any()
    assert difference[:, region].any()
    assert (stored["image"] == round8(stored["query"]))[0][:, ~region].all()
    page.locator("#editor canvas").first.wait_for()
    page.wait_for_timeout(4000)
    explained(page)
    again = load_file(download(page, tmp_path / "again.zip") / "tensors.safetensors")
    assert (again["region"][0, 0] > 0).equal(region)


def test_the_lesion_is_outlined_and_an_empty_painting_is_a_sentence(open_page, lesion):
    page = open_page()
    drop(page, lesion)
    page.locator("#explain").wait_for()
    page.get_by_label("inside the lesion's outline").click()
    page.locator("#view figcaption", has_text="The bright region may change").wait_for()
    page.get_by_label("where I paint").click()
    page.locator("#editor canvas").first.wait_for()
    page.wait_for_timeout(4000)
    page.locator("#explain").click()
    page.get_by_text("Nothing is painted, or too thin an area").wait_for()
    assert page.locator("#editor canvas").first.is_visible()


def test_a_second_search_waits_for_the_first_and_both_can_be_stopped(open_page):
    first, second = open_page(), open_page()
    for page in (first, second):
        page.locator("#example").click()
        page.locator("#explain").wait_for()
    first.locator("#explain").click()
    first.locator("#view progress").wait_for()
    second.locator("#explain").click()
    second.locator("#view", has_text="queue").wait_for()
    first.locator("#stop").click()
    first.get_by_text("Stopped. Nothing is kept of this search.").wait_for()
    first.locator("#view figcaption", has_text="as synthetic sees it").wait_for()
    second.locator("#view progress").wait_for()
    second.locator("#stop").click()
    second.get_by_text("Stopped. Nothing is kept of this search.").wait_for()
    assert not first.locator("#report iframe").is_visible()


def test_a_closed_page_gives_way_to_the_next(open_page, browser, app):
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(app.address)
    page.locator("#example").click()
    page.locator("#explain").click()
    page.locator("#view progress").wait_for()
    context.close()
    page = open_page()
    page.locator("#example").click()
    choose_method(page, "pixels")
    explained(page)


def test_bad_uploads_are_sentences_in_the_page(open_page, tmp_path):
    page = open_page()
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "large.png").write_bytes(bytes(21 * 2**20))
    drop(page, tmp_path / "broken.png")
    page.get_by_text(re.compile("^broken.png is not")).wait_for()
    page.set_input_files("#upload input[type=file]", tmp_path / "notes.txt")
    page.get_by_text("Invalid file type").wait_for()
    page.set_input_files("#upload input[type=file]", tmp_path / "large.png")
    page.get_by_text("exceed the maximum allowed size of 20").wait_for()
    assert not page.locator("#explain").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_every_input_has_a_name(open_page, scheme):
    page = open_page(390, color_scheme=scheme, has_touch=True, is_mobile=True)
    page.locator("#example").click()
    page.locator("#explain").wait_for()
    choose_method(page, "pixels")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("input, select, textarea, button")]
            .filter((one) => one.checkVisibility() && !one.labels?.length && !one.getAttribute("aria-label")
                && !one.title && !one.innerText.trim() && !one.closest("label"))
            .map((one) => one.outerHTML.slice(0, 200))"""
    )
    assert nameless == []
    explained(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    paper = "getComputedStyle(document.querySelector('#page')).getPropertyValue('--paper')"
    assert page.evaluate(paper).strip() == {"light": "#fdfcfa", "dark": "#12161a"}[scheme]


def test_it_listens_to_this_computer_alone(app):
    entries = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = [local for _, local, _, state, *_ in entries if state == "0A" and local.endswith(f":{app.port:04X}")]
    assert listening == [f"0100007F:{app.port:04X}"]


def test_requests_of_other_sites_are_refused(app):
    def status(path="/", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=60)
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        return connection.getresponse().status

    assert status() == 200
    assert status(Origin="http://evil.example") == 403
    assert status(Sec_Fetch_Site="cross-site") == 403
    assert status(Host="evil.example") == 403
    assert status("/gradio_api/file=http://127.0.0.1:1/x") == 403


def test_an_ended_app_leaves_no_files_and_the_next_sweeps_what_a_killed_one_left(open_page, app, tmp_path_factory):
    page = open_page()
    page.locator("#example").click()
    page.locator("#explain").wait_for()
    choose_method(page, "pixels")
    explained(page)
    assert any(path.suffix == ".zip" for path in app.files())
    app.process.kill()
    app.process.wait()
    assert app.files()
    page.errors.clear()  # that the connection is lost
    after = App(app.folder)
    (folder,) = app.folder.glob("cfexplain-app-*")
    assert folder.name.startswith(f"cfexplain-app-{after.port}-")
    assert not any(path.suffix == ".zip" for path in app.files())
    assert after.stop() == 0
    assert not list(app.folder.glob("cfexplain-app-*"))
    assert not list(app.folder.glob("gradio*"))
