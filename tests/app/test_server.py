"""Who is answered, what is kept, and what a start finds; without a browser."""

import os
import signal
import socket
import tempfile

import pytest
from typer.testing import CliRunner

from cfexplain.app import launch, server
from cfexplain.app.server import HEADERS, LARGEST_UPLOAD, guard, keep_newest, sweep
from cfexplain.cli import browser


@pytest.fixture
def client(tmp_path, monkeypatch):
    """A server behind the guard that answers with what it was sent."""
    pytest.importorskip("gradio", reason="Gradio is not installed: pip install 'cfexplain[app]'")
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import Response
    from starlette.routing import Route
    from starlette.testclient import TestClient

    async def echo(request):
        return Response(await request.body())

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    routes = [Route("/{path:path}", echo, methods=["GET", "POST"])]
    app = Starlette(routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=guard)])
    return TestClient(app, base_url="http://127.0.0.1:7860")


def test_the_page_itself_is_answered_with_a_strict_policy(client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "http" not in HEADERS["content-security-policy"]
    own = {"origin": "http://127.0.0.1:7860", "sec-fetch-site": "same-origin"}
    assert client.post("/queue/join", json={"data": ["mel"]}, headers=own).json() == {"data": ["mel"]}
    assert client.get("/", headers={"host": "localhost:7860"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"host": "evil.example:7860"},
    ],
)
def test_other_sites_and_names_are_refused(client, headers):
    for answer in (client.get("/", headers=headers), client.post("/upload", content=b"x", headers=headers)):
        assert answer.status_code == 403
        assert "refused" in answer.text


@pytest.mark.parametrize(
    "path", ["http://evil.example/x.png", "HTTPS://evil.example", "http:\\\\evil.example", "//evil"]
)
def test_remote_files_are_refused(client, path):
    data = {"data": [1, {"background": {"path": path, "meta": {"_type": "gradio.FileData"}}}]}
    assert client.post("/gradio_api/queue/join", json=data).status_code == 403
    assert client.post("/gradio_api/queue/join", content=str(data).replace("'", '"').encode()).status_code == 403
    data["data"][1]["background"]["path"] = "/tmp/x.png"
    assert client.post("/gradio_api/queue/join", json=data).status_code == 200


def test_addresses_in_place_of_a_served_file_are_refused(client):
    for path in (
        "/gradio_api/file=http://evil.example/x",
        "/gradio_api/file=HTTPS:/evil",
        "/gradio_api/file=%68ttp://e",
    ):
        assert client.get(path).status_code == 403
    assert client.get("/gradio_api/file=/tmp/lesion.png").status_code == 200


def test_large_bodies_and_bodies_of_unknown_size_are_refused(client):
    assert client.post("/upload", content=b"x", headers={"content-length": str(2 * LARGEST_UPLOAD)}).status_code == 403
    assert client.post("/upload", content=iter([b"x"])).status_code == 403


def test_uploads_are_bounded_and_the_oldest_go_first(client, tmp_path, monkeypatch):
    for k in range(6):
        (tmp_path / str(k)).mkdir()
        os.utime(tmp_path / str(k), (k, k))
    monkeypatch.setattr(server, "MOST_UPLOADS", 4)
    client.post("/gradio_api/upload", content=b"x", headers={"content-type": "multipart/form-data; boundary=x"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3", "4", "5"]
    keep_newest(tmp_path, 10)
    assert len(list(tmp_path.iterdir())) == 4


def test_a_start_sweeps_what_a_killed_app_left_but_not_what_a_running_one_uses(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as running, socket.create_server(("127.0.0.1", 0)) as killed:
        names = {name: f"cfexplain-app-{app.getsockname()[1]}-x" for name, app in (("on", running), ("off", killed))}
        for name in (*names.values(), "cfexplain-app-notes-x", "other"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "lesion.png").write_bytes(b"x")
        killed.close()
        sweep()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {names["on"], "cfexplain-app-notes-x", "other"}


def test_a_port_that_is_taken_is_a_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = CliRunner().invoke(browser.app, ["app", "--port", str(port), "--no-browser"])
    assert done.exit_code == 2
    assert done.stderr.strip() == f"cfexplain: the port {port} is taken: choose another with --port"


def test_without_gradio_there_is_one_sentence(monkeypatch):
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(ValueError, match="pip install 'cfexplain"):
        launch(port=0)


def test_the_page_is_built_for_the_classifiers_on_offer():
    pytest.importorskip("gradio", reason="Gradio is not installed: pip install 'cfexplain[app]'")
    from cfexplain.app.page import build
    from cfexplain.app.search import NamedClassifier

    config = build([NamedClassifier.load("synthetic", "cpu")]).get_config_file()
    props = {one["props"].get("elem_id"): one["props"] for one in config["components"]}
    assert props["classifier"]["choices"] == [("synthetic", "synthetic")]
    assert "CC0" in props["classifier"]["info"]
    assert {"upload", "example", "target", "editor", "explain", "stop", "download", "report"} <= set(props)
    assert all(one["api_visibility"] == "private" for one in config["dependencies"])
