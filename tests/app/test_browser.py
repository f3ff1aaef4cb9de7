"""The app as people use it, in Chromium: drop, paint, watch, stop, slide, download; nothing leaves, nothing stays."""

import base64
import json
import os
import re
import shutil
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
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
COMMAND = "from cfexplain.cli import main; main()"
LOADED = "[...document.querySelectorAll('#slider img')].every((one) => one.naturalWidth === 640)"
PATIENCE = 120_000
"""Milliseconds: these tests may share two cores with others."""


@pytest.fixture(scope="module")
def browser():
    pytest.importorskip("gradio", reason="Gradio is not installed: pip install 'cfexplain[app]'")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: pip install playwright"
    )
    if not Path(CHROMIUM).exists():
        pytest.skip(f"there is no {CHROMIUM}: apt-get install chromium")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield found
        found.close()


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
        """What lies in the folder; `os.walk` passes over what the app removes meanwhile, `rglob` would raise."""
        return [Path(folder) / name for folder, _, names in os.walk(self.folder) for name in names]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@pytest.fixture(scope="module")
def app(browser, tmp_path_factory):
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
    """Open the page, and in the end hold it to having asked nobody else and complained of nothing."""
    opened = []

    def visit(width=1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.asked, page.complaints = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("websocket", lambda socket: page.asked.append(socket.url))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("console", lambda said: page.complaints.append(said.text) if said.type == "error" else None)
        page.goto(app.address)
        page.get_by_role("button", name=re.compile("Take an example")).wait_for()
        opened.append(page)
        return page

    yield visit
    for page in opened:
        elsewhere = [url for url in page.asked if not url.startswith((app.address, "data:", "blob:"))]
        assert elsewhere == [], "no request leaves this computer"
        assert page.complaints == []
        page.context.close()


@pytest.fixture(scope="module")
def lesion(tmp_path_factory):
    path = tmp_path_factory.mktemp("lesion") / "my-lesion.png"
    save_png(path, next(iter(SyntheticLesions(1, size=200, split="test"))).image)
    return path


def drop(page, path):
    """Drop a file on the page as a hand does, not through the file dialogue."""
    page.locator("#picture button").first.wait_for()
    content = base64.b64encode(path.read_bytes()).decode()
    page.evaluate(
        """([content, name]) => {
            const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0)), data = new DataTransfer();
            data.items.add(new File([bytes], name, {type: "image/png"}));
            document.querySelector("#picture button").dispatchEvent(
                new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: data}));
        }""",
        [content, path.name],
    )


def choose_method(page, name):
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Method").click()
    page.get_by_role("option", name=name, exact=True).click()
    page.get_by_role("button", name="Settings").click()


def download(page, to):
    with page.expect_download() as waiting:
        page.locator("#download").click()
    waiting.value.save_as(to)
    assert waiting.value.suggested_filename.startswith("my-lesion-")
    with zipfile.ZipFile(to) as packed:
        packed.extractall(to.parent)
    return to.parent / "my-lesion"


def explained(page):
    page.locator("#go").click()
    page.locator("#verdict .headline").wait_for()


def test_from_a_dropped_picture_to_the_record(open_page, lesion, tmp_path):
    page = open_page()
    assert "Research use only" in page.locator("#top").inner_text()
    drop(page, lesion)
    page.locator("#go").wait_for()
    assert page.locator("#query .bars tbody tr").count() == 2
    assert "my-lesion.png: synthetic says" in page.locator("#message").inner_text()
    source = page.locator("#query caption b").inner_text()
    target = page.get_by_label("What would it take to be").input_value()
    assert not target.startswith(source)
    choose_method(page, "tv")
    page.locator("#go").click()
    page.locator("#live progress").wait_for()
    assert page.locator("#live .pair img").count() == 2
    page.locator("#verdict .headline").wait_for()
    assert re.search("semantic|fragile|adversarial", page.locator("#verdict .badge").inner_text())
    assert "Does the flip survive ordinary damage?" in page.locator("#reasons").inner_text()
    assert page.locator("#reasons table.abcd").is_visible()
    assert page.locator("#change img").is_visible()
    pictures = page.locator("#slider img")
    assert [pictures.nth(k).get_attribute("alt") for k in (0, 1)] == ["The query.", "The counterfactual."]
    page.wait_for_function(LOADED)
    folder = download(page, tmp_path / "record.zip")
    record = json.loads((folder / "result.json").read_text())
    assert record["source"] == source
    assert target.startswith(record["target"])
    assert record["verdict"]["kind"] in page.locator("#verdict .badge").inner_text()
    assert {"report.html", "counterfactual.png", "tensors.safetensors", "panel.png"} <= {
        p.name for p in folder.iterdir()
    }


def test_the_slider_follows_the_keyboard(open_page):
    page = open_page()
    page.get_by_role("button", name=re.compile("Take an example")).click()
    page.locator("#go").wait_for()
    choose_method(page, "pixels")
    explained(page)
    handle = page.get_by_role("slider", name="Before and after")
    page.wait_for_function(LOADED)
    handle.focus()
    assert handle.get_attribute("aria-valuenow") == "50"
    page.keyboard.press("ArrowRight")
    page.wait_for_function("Number(document.activeElement.getAttribute('aria-valuenow')) > 52")
    page.keyboard.press("Home")
    page.wait_for_function("Number(document.activeElement.getAttribute('aria-valuenow')) <= 1")


def test_only_what_is_painted_changes(open_page, lesion, tmp_path):
    page = open_page()
    drop(page, lesion)
    page.locator("#go").wait_for()
    page.get_by_label("where I paint").click()
    canvas = page.locator("#painter canvas")
    canvas.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    box = canvas.bounding_box()
    x, y, side = box["x"], box["y"], box["width"]
    page.mouse.move(x + 0.3 * side, y + 0.4 * side)
    page.mouse.down()
    page.mouse.move(x + 0.6 * side, y + 0.4 * side, steps=8)
    page.mouse.up()
    canvas.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown", " "):
        page.keyboard.press(key)
    choose_method(page, "pixels")
    explained(page)
    stored = load_file(download(page, tmp_path / "record.zip") / "tensors.safetensors")
    region = stored["region"][0, 0] > 0
    assert 0.05 < float(region.float().mean()) < 0.5
    assert region[26, 22]
    assert not region[:10].any()
    difference = (stored["painted"] - stored["anchor"])[0]
    assert not difference[:, ~region].any()
    assert difference[:, region].any()
    assert (stored["image"] == round8(stored["query"]))[0][:, ~region].all()


def test_stop_and_those_who_wait(open_page):
    first, second = open_page(), open_page()
    for page in (first, second):
        page.get_by_role("button", name=re.compile("Take an example")).click()
        page.locator("#go").wait_for()
    first.locator("#go").click()
    first.locator("#live progress").wait_for()
    second.locator("#go").click()
    second.get_by_text("Another lesion is before yours").first.wait_for()
    first.locator("#stop").click()
    first.get_by_text("Stopped; nothing of it is kept.").wait_for()
    assert first.locator("#go").is_enabled()
    assert not first.locator("#stop").is_visible()
    second.locator("#live progress").wait_for()
    second.locator("#stop").click()
    second.get_by_text("Stopped; nothing of it is kept.").wait_for()


def test_bad_uploads_are_sentences_in_the_page(open_page, tmp_path):
    page = open_page()
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "large.png").write_bytes(bytes(21 * 2**20))
    drop(page, tmp_path / "broken.png")
    page.get_by_role("alert").get_by_text("broken.png is not a picture that can be read: give a JPEG").wait_for()
    page.set_input_files("#picture input[type=file]", tmp_path / "notes.txt")
    page.get_by_text("Invalid file type").wait_for()
    page.set_input_files("#picture input[type=file]", tmp_path / "large.png")
    page.get_by_text("exceed the maximum allowed size of 20").wait_for()
    assert not page.locator("#go").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_every_input_has_a_name(open_page, scheme):
    page = open_page(375, color_scheme=scheme, has_touch=True, is_mobile=True)
    page.get_by_role("button", name=re.compile("Take an example")).click()
    page.locator("#go").wait_for()
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("where I paint").click()
    page.locator("#painter canvas").wait_for()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("input, select, textarea, button, canvas")]
            .filter((one) => one.checkVisibility() && !one.labels?.length && !one.getAttribute("aria-label")
                && !one.title && !one.innerText.trim() && !one.closest("label"))
            .map((one) => one.outerHTML.slice(0, 200))"""
    )
    assert nameless == []
    page.get_by_label("everywhere").click()
    page.get_by_label("Method").click()
    page.get_by_role("option", name="pixels", exact=True).click()
    explained(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    shade = page.evaluate(
        "getComputedStyle(document.querySelector('#desk').closest('.gradio-container')).getPropertyValue('--paper')"
    )
    assert shade.strip() == {"light": "#fdfcfa", "dark": "#12161a"}[scheme]


def test_the_policy_and_other_names_for_this_computer(app):
    import http.client

    def answer(host):
        connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=60)
        connection.request("GET", "/", headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.getheader("content-security-policy")

    status, policy = answer(f"127.0.0.1:{app.port}")
    assert status == 200
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert answer("evil.example")[0] == 400
    assert answer("localhost")[0] == 200


def test_it_listens_to_this_computer_alone(app):
    entries = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = [local for _, local, _, state, *_ in entries if state == "0A" and local.endswith(f":{app.port:04X}")]
    assert listening == [f"0100007F:{app.port:04X}"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((_own_address(), app.port), timeout=5).close()


def _own_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("192.0.2.1", 9))  # sends nothing: it only picks a route
        except OSError:
            pytest.skip("this computer has no other address")
        if asked.getsockname()[0].startswith("127."):
            pytest.skip("this computer has no other address")
        return asked.getsockname()[0]


def test_a_closed_page_and_an_ended_app_leave_no_files(open_page, app):
    page = open_page()
    page.get_by_role("button", name=re.compile("Take an example")).click()
    page.locator("#go").wait_for()
    choose_method(page, "pixels")
    explained(page)
    assert any(path.suffix == ".zip" for path in app.files())
    page.context.close()
    for _ in range(120):
        if not app.files():
            break
        time.sleep(0.5)
    assert app.files() == []
    assert app.stop() == 0
    assert app.files() == []
    assert not [path for path in app.folder.iterdir() if path.name.startswith(("cfexplain", "gradio"))]


def test_a_port_that_is_taken_is_a_sentence():
    pytest.importorskip("gradio", reason="Gradio is not installed: pip install 'cfexplain[app]'")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, "app", "--classifier", "synthetic", "--port", port, "--no-browser"],
            capture_output=True, text=True, timeout=PATIENCE / 1000,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1] == f"cfexplain: the port {port} is taken: choose another with --port"
