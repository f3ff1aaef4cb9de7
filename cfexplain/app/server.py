"""The server: reachable from this computer only, fetching nothing from elsewhere, keeping nothing."""

import json
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cfexplain.app.page import TEMPLATES, build, gr
from cfexplain.app.search import SHUTDOWN, NamedClassifier

HOST = "127.0.0.1"
PORTS = range(7860, 7880)
PREFIX = "cfexplain-app-"
LARGEST_UPLOAD = 20 * 2**20
MOST_UPLOADS = 64
HEADERS = {
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
        "frame-src 'self'; object-src 'none'; base-uri 'self'; frame-ancestors 'none'; form-action 'self'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def launch(
    names: Sequence[str] = ("ham10000", "synthetic"),
    device: str = "auto",
    *,
    port: int | None = None,
    browser: bool = True,
    tell: Callable[[str], object] = print,
) -> None:
    """Serve the app to this computer until it is interrupted, then delete all uploads and results.

    Args:
        names: of the classifiers to choose from; the first one is selected.
        device: auto, cpu, cuda, ...
        port: None takes the first free one of `PORTS`.
        browser: open the page in the default browser.
        tell: called with the page's address.

    Raises:
        ValueError: Gradio is not installed, there is no such classifier, or the port is taken.
    """
    sweep()
    reserved = _reserve(port)
    port = reserved.getsockname()[1]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{port}-", ignore_cleanup_errors=True) as folder, reserved:
        os.environ |= _environment(folder)  # Gradio reads it on import
        if find_spec("gradio") is None:
            raise ValueError("the app needs Gradio: pip install 'cfexplain[app]'")
        blocks = build([NamedClassifier.load(name, device) for name in names]).queue(max_size=16, api_open=False)
        reserved.close()
        SHUTDOWN.clear()
        try:
            with suppress(KeyboardInterrupt):
                blocks.launch(server_port=port, inbrowser=browser, **_settings())
                tell(f"http://{HOST}:{port}/")
                threading.Event().wait()
        finally:
            SHUTDOWN.set()
            blocks.close(verbose=False)


def sweep() -> None:
    """Delete the temporary folders of apps that no longer listen on their port."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        port = folder.name.removeprefix(PREFIX).partition("-")[0]
        with suppress(OSError, ValueError), socket.create_server((HOST, int(port))):
            shutil.rmtree(folder, ignore_errors=True)


def _reserve(port: int | None) -> socket.socket:
    """Listen on a port until Gradio does, so that no other app takes it or sweeps the folder."""
    for candidate in PORTS if port is None else [port]:
        with suppress(OSError):
            return socket.create_server((HOST, candidate))
    taken = f"ports {PORTS.start} to {PORTS.stop - 1} are" if port is None else f"port {port} is"
    raise ValueError(f"the {taken} taken: choose another with --port")


def _environment(folder: str) -> dict[str, str]:
    """Variables that keep Gradio's files in the folder, its telemetry off, and this computer off any proxy."""
    direct = f"{os.environ.get('NO_PROXY', os.environ.get('no_proxy', ''))},{HOST},localhost"
    off = dict.fromkeys(("GRADIO_ANALYTICS_ENABLED", "GRADIO_RUN_HISTORY", "GRADIO_SHARE"), "False")
    return off | {"HF_HUB_DISABLE_TELEMETRY": "1", "GRADIO_TEMP_DIR": folder, "NO_PROXY": direct, "no_proxy": direct}


def _settings() -> dict[str, Any]:
    """Arguments of `gradio.Blocks.launch`: this computer only, no link to share, no interface for programs."""
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware

    return {
        "server_name": HOST,
        "prevent_thread_lock": True,
        "quiet": True,
        "show_error": True,
        "max_file_size": LARGEST_UPLOAD,
        "enable_monitoring": False,
        "ssr_mode": False,
        "mcp_server": False,
        "footer_links": [],
        "theme": gr.themes.Base(neutral_hue="slate", font=("system-ui", "sans-serif"), font_mono=("monospace",)),
        "head": f"<style>{(TEMPLATES / 'app.css').read_text(encoding='utf-8')}</style>",
        "app_kwargs": dict.fromkeys(("docs_url", "redoc_url", "openapi_url"))
        | {"middleware": [Middleware(BaseHTTPMiddleware, dispatch=guard)]},
    }


async def guard(request: Any, answer: Callable[[Any], Any]) -> Any:
    """Middleware: refuse other sites, remote paths and large bodies, bound the uploads, and add `HEADERS`."""
    from starlette.responses import PlainTextResponse

    refusal = refused(request)
    if refusal is None and "multipart" not in request.headers.get("content-type", ""):
        refusal = refused_body(await request.body())
    if request.url.path.endswith("/upload"):
        keep_newest(Path(os.environ["GRADIO_TEMP_DIR"]), MOST_UPLOADS)
    response = await answer(request) if refusal is None else PlainTextResponse(refusal, 403)
    response.headers.update(HEADERS)
    return response


def refused(request: Any) -> str | None:
    """Why a request is refused because of its headers or path; None if it is not."""
    headers, url = request.headers, request.url
    origins, sites = (None, f"http://{url.netloc}"), (None, "none", "same-origin")
    if headers.get("origin") not in origins or headers.get("sec-fetch-site") not in sites:
        return "requests from other sites are refused"
    if url.hostname not in (HOST, "localhost"):  # DNS rebinding
        return "other names of this computer are refused"
    if "=http" in url.path.lower():
        return "remote files are refused"
    if request.method == "POST" and not 0 <= int(headers.get("content-length", -1)) <= LARGEST_UPLOAD + 2**16:
        return "the request is too large"
    return None


def refused_body(body: bytes) -> str | None:
    """Why a JSON body is refused: a file's path in it is an address, which Gradio would download."""
    paths: list[str] = []
    with suppress(ValueError):  # Gradio itself refuses what is not JSON
        json.loads(body, object_hook=lambda part: paths.append(str(part.get("path"))))
    return "remote files are refused" if any("//" in path.replace("\\", "/") for path in paths) else None


def keep_newest(folder: Path, count: int) -> None:
    """Delete all but the newest entries of a folder."""
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)[:-count]:
        shutil.rmtree(path, ignore_errors=True)
