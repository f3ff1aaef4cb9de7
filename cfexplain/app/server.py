"""The server: this computer alone, nothing fetched from elsewhere, nothing kept."""

from __future__ import annotations

import inspect
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cfexplain.app import fragment
from cfexplain.app.page import build, gradio
from cfexplain.app.studio import Studio

HOST = "127.0.0.1"
PORTS = range(7860, 7880)
LARGEST_UPLOAD = 20 * 2**20
"""Bytes."""

MOST_WAITING = 16
FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Liberation Sans", "Arial", "sans-serif")
MONO = ("ui-monospace", "Menlo", "Consolas", "Liberation Mono", "monospace")
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "frame-src 'none'; object-src 'none'; frame-ancestors 'none'; form-action 'self'"
)
"""What the browser may fetch: this server's answers, and what the page holds itself."""


def launch(
    classifier_names: Sequence[str] = ("ham10000", "synthetic"),
    device: str = "auto",
    *,
    port: int | None = None,
    browser: bool = True,
    tell: Callable[[str], object] = lambda address: None,
    until: threading.Event | None = None,
) -> None:
    """Show the app to this computer until it is interrupted, then remove all that visitors left.

    Args:
        classifier_names: on offer, the first one chosen.
        device: auto, cpu, cuda, ...
        port: of 127.0.0.1; None takes the first free one of `PORTS`.
        browser: open the page in the default browser.
        tell: called with the page's address.
        until: ends the app when it is set.

    Raises:
        ValueError: Gradio is not installed, there is no such classifier, or the port is taken.
    """
    os.environ |= _environment()
    ended = until or threading.Event()
    with Studio(classifier_names, device) as studio, _folder(studio), _interrupts(ended):
        gradio()
        blocks = build(studio=studio)
        blocks.queue(max_size=MOST_WAITING, api_open=False)
        try:
            known = inspect.signature(blocks.launch).parameters
            _, address, _ = blocks.launch(**{k: v for k, v in _settings(port, browser).items() if k in known})
            tell(address)
            ended.wait()
        except OSError:
            raise ValueError(_taken(port)) from None
        finally:
            blocks.close(verbose=False)


def theme() -> Any:
    """Colours of the report on Gradio's plainest theme, in fonts that every computer has."""
    gr = gradio()
    plain = gr.themes.Base(font=FONTS, font_mono=MONO, radius_size="sm", neutral_hue="slate", primary_hue="cyan")
    light = {
        "body_background_fill": "#fdfcfa", "body_text_color": "#1a2026", "body_text_color_subdued": "#55606b",
        "background_fill_primary": "#ffffff", "background_fill_secondary": "#f4f5f6",
        "block_background_fill": "#ffffff",
        "border_color_primary": "#dde1e5", "block_border_color": "#dde1e5", "block_info_text_color": "#55606b",
        "block_label_text_color": "#55606b", "block_title_text_color": "#1a2026",
        "input_background_fill": "#ffffff", "input_border_color": "#8a949e", "input_border_color_focus": "#0b5873",
        "button_primary_background_fill": "#0b5873", "button_primary_background_fill_hover": "#08465c",
        "button_primary_text_color": "#ffffff", "color_accent": "#0b5873", "color_accent_soft": "#e3eff3",
        "checkbox_background_color_selected": "#0b5873", "link_text_color": "#0b5873",
        "button_cancel_background_fill": "#a81f2e", "button_cancel_background_fill_hover": "#8a1825",
        "button_cancel_text_color": "#ffffff",
    }  # fmt: skip
    dark = {
        "body_background_fill": "#12161a", "body_text_color": "#e8ecef", "body_text_color_subdued": "#a3adb7",
        "background_fill_primary": "#1a2025", "background_fill_secondary": "#212930",
        "block_background_fill": "#1a2025",
        "border_color_primary": "#313a42", "block_border_color": "#313a42", "block_info_text_color": "#a3adb7",
        "block_label_text_color": "#a3adb7", "block_title_text_color": "#e8ecef",
        "input_background_fill": "#12161a", "input_border_color": "#5d6a75", "input_border_color_focus": "#7fc6e0",
        "button_primary_background_fill": "#7fc6e0", "button_primary_background_fill_hover": "#a5d8ea",
        "button_primary_text_color": "#0d1c22", "color_accent_soft": "#20353f",
        "checkbox_background_color_selected": "#2c7f9c", "link_text_color": "#7fc6e0",
        "button_cancel_background_fill": "#a81f2e", "button_cancel_background_fill_hover": "#c22f40",
        "button_cancel_text_color": "#ffffff",
    }  # fmt: skip
    return plain.set(**light, **{f"{name}_dark": value for name, value in dark.items()})


def _settings(port: int | None, browser: bool) -> dict[str, Any]:
    """What Gradio is told: bound to this computer, no link to share, no history, no interface for programs."""
    return {
        "server_name": HOST,
        "server_port": port or _free_port(),
        "share": False,
        "inbrowser": browser,
        "prevent_thread_lock": True,
        "quiet": True,
        "show_error": False,
        "max_file_size": LARGEST_UPLOAD,
        "enable_monitoring": False,
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
        "run_history": False,
        "footer_links": [],
        "strict_cors": True,
        "theme": theme(),
        "head": fragment.head(),
        "app_kwargs": {"middleware": _middleware(), "docs_url": None, "redoc_url": None, "openapi_url": None},
    }


def _middleware() -> list[Any]:
    """Other names for this computer are refused (DNS rebinding); the browser is told what it may fetch."""
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    return [Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"]), Middleware(_Headers)]


class _Headers:
    """Adds headers to every answer."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, and its answer back with the headers."""

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        await self.app(scope, receive, sent if scope["type"] == "http" else send)


_HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]


def _environment() -> dict[str, str]:
    """Variables that keep Gradio quiet, and this computer's own address off any proxy."""
    bypass = ",".join(filter(None, [os.environ.get("NO_PROXY", os.environ.get("no_proxy", "")), HOST, "localhost"]))
    quiet = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "GRADIO_SHARE": "False"}
    return quiet | {"NO_PROXY": bypass, "no_proxy": bypass}


@contextmanager
def _folder(studio: Studio) -> Iterator[None]:
    """Let Gradio keep its files in the studio's folder, which goes with it."""
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(studio.folder)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("GRADIO_TEMP_DIR", None)
        else:
            os.environ["GRADIO_TEMP_DIR"] = before


@contextmanager
def _interrupts(ended: threading.Event) -> Iterator[None]:
    """Ctrl-C, and being told to end, end the app in good order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    before = {number: signal.signal(number, lambda *_: ended.set()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_port() -> int:
    """The first free port of `PORTS`."""
    import socket

    for port in PORTS:
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind((HOST, port))
                return port
            except OSError:
                continue
    raise OSError


def _taken(port: int | None) -> str:
    if port is None:
        return f"the ports {PORTS.start} to {PORTS.stop - 1} are taken: choose another with --port"
    return f"the port {port} is taken: choose another with --port"
