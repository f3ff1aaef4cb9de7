"""The page: its components, and what each event changes."""

import base64
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import lazy_loader  # type: ignore[import-untyped]
import torch
from jinja2 import Template

from cfexplain.app.search import NamedClassifier, Progress, Query, search, write_record
from cfexplain.dermoscopy.segment import segment
from cfexplain.explanation.record import NOTICE
from cfexplain.images import SUFFIXES, png_bytes, resize, to_uint8
from cfexplain.method.presets import METHODS
from cfexplain.report.glossary import spelled

gr = lazy_loader.load("gradio")
TEMPLATES = Path(__file__).parent / "templates"
FRAGMENTS: Any = Template((TEMPLATES / "fragments.html").read_text(encoding="utf-8"), autoescape=True).module
UPLOAD = "Image of a lesion: JPEG, PNG, TIFF, BMP or WebP, up to 20 MB"
EVERYWHERE, LESION, PAINTED = "everywhere", "inside the lesion's outline", "where I paint"
CANVAS = 512
# In a narrow window the search is below the inputs.
SCROLL = "(...inputs) => { if (innerWidth < 800) document.querySelector('#view').scrollIntoView(); return inputs; }"
Updates = tuple[Any, ...]


def build(models: Sequence[NamedClassifier]) -> Any:
    """The page as `gradio.Blocks`, with the first classifier selected."""
    by_name, seeds = {model.name: model for model in models}, count()
    with gr.Blocks(title="cfexplain", analytics_enabled=False, delete_cache=(600, 3600), fill_width=True) as blocks:
        query = gr.State()
        gr.HTML(FRAGMENTS.header(NOTICE), elem_id="header")
        with gr.Row(elem_id="page", equal_height=False):
            with gr.Column(scale=4, min_width=300):
                licences = "; ".join(f"{model.name}: {model.licence}" for model in models)
                classifier = gr.Dropdown(list(by_name), label="Classifier", info=licences, elem_id="classifier")
                upload = gr.File(label=UPLOAD, file_types=list(SUFFIXES), height=170, elem_id="upload")
                example = gr.Button("Use a synthetic example", size="sm", elem_id="example")
                with gr.Column(visible=False) as controls:
                    target, where, editor, *settings = _search_inputs()
                    with gr.Row():
                        explain = gr.Button("Explain", variant="primary", scale=3, elem_id="explain")
                        stop = gr.Button("Stop", min_width=90, elem_id="stop")
            with gr.Column(scale=7, min_width=300):
                with gr.Row(equal_height=False) as current:
                    view = gr.HTML(FRAGMENTS.empty(), elem_id="view")
                    prediction = gr.Label(label="Prediction", visible=False, min_width=260, elem_id="prediction")
                with gr.Column(visible=False) as result:
                    download = gr.DownloadButton("Download the record (zip)", size="sm", elem_id="download")
                    report = gr.HTML(elem_id="report")
        quiet = {"show_progress": "hidden", "api_visibility": "private"}
        running = explain.click(
            _explain, [query, target, where, editor, *settings],
            [current, result, editor, view, prediction, download, report], concurrency_limit=1, show_progress="full",
            show_progress_on=view, js=SCROLL, api_visibility="private",
        )  # fmt: skip
        # The page runs `stop` beside the cancellation, and `failure` after it: what is shown must come last.
        running.failure(
            lambda query, where: (_view(query), _prediction(query), _show_editor(where)),
            [query, where], [view, prediction, editor], **quiet,
        )  # fmt: skip
        stop.click(lambda: gr.Info("Stopped. Nothing is kept of this search."), cancels=running, **quiet)
        shown = [query, upload, view, prediction, current, result, controls, target, where, editor]
        new = {"outputs": shown, "cancels": running, **quiet}
        upload.upload(lambda path, name: _upload(path, by_name[name]), [upload, classifier], **new)
        example.click(lambda name: _show(Query.example(next(seeds), by_name[name])), classifier, **new)
        classifier.input(
            lambda old, name: _show(Query.of(old.original, old.name, by_name[name])) if old else (gr.skip(),) * 10,
            [query, classifier], **new,
        )  # fmt: skip
        where.input(_choose_region, [query, where], [view, current, editor], **quiet)
    return blocks


def _search_inputs() -> Updates:
    target = gr.Dropdown([], label="Target class", elem_id="target")
    where = gr.Radio([EVERYWHERE, LESION, PAINTED], value=EVERYWHERE, label="Region that may change")
    editor = gr.ImageEditor(
        label="Paint the region that may change", visible=False, sources=(), transforms=(), layers=False,
        brush=gr.Brush(default_size=60, colors=["#16a3b8"], color_mode="fixed"), buttons=[],
        canvas_size=(CANVAS, CANVAS), elem_id="editor",
    )  # fmt: skip
    with gr.Accordion("Settings", open=False):
        method = gr.Dropdown(list(METHODS), value="natural", label="Method")
        seed = gr.Number(0, label="Seed", info="The same seed gives the same result.", precision=0)
        budget = gr.Number(0, label="Budget in seconds", info="0 is no limit.", minimum=0)
    return target, where, editor, method, seed, budget


def _upload(path: str, model: NamedClassifier) -> Updates:
    try:
        return _show(Query.read(Path(path), model))
    except ValueError as error:
        gr.Warning(str(error).replace(path, Path(path).name), duration=None)
        return gr.skip(), None, *[gr.skip()] * 8


def _show(query: Query) -> Updates:
    """A new query: its prediction, and the inputs of a new search."""
    targets = [(_full_name(name), name) for name in query.probabilities][1:]
    panels = gr.Row(visible=True), gr.Column(visible=False), gr.Column(visible=True)
    target, editor = gr.Dropdown(targets, value=targets[0][1]), _show_editor(EVERYWHERE)
    return query, None, _view(query), _prediction(query), *panels, target, EVERYWHERE, editor


def _choose_region(query: Query, where: str) -> Updates:
    """Show the region that may change, or the canvas to paint it on."""
    if where != PAINTED:
        region = segment(query.image) if where == LESION else None
        return _view(query, region), gr.Row(visible=True), _show_editor(where)
    return _view(query), gr.skip(), gr.ImageEditor(to_uint8(resize(query.image, CANVAS)[0]), visible=True)


def _explain(
    query: Query, target: str, where: str, painted: Mapping[str, Any] | None, method: str, seed: int, budget: float
) -> Iterator[Updates]:
    """Stream a search: the image so far and its prediction, then the report.

    The image editor is hidden meanwhile: Gradio would upload its layers at every update of the page.
    """
    region = segment(query.image) if where == LESION else _painted(query, painted) if where == PAINTED else None
    yield gr.Row(visible=True), gr.Column(visible=False), gr.ImageEditor(visible=False), *[gr.skip()] * 4
    for found in search(query, target, method, seed, budget, region):
        if isinstance(found, Progress):
            view = FRAGMENTS.progress(_uri(found.image), found, target)
            yield *[gr.skip()] * 3, view, _prediction(found), *[gr.skip()] * 2
        else:
            archive, html = write_record(found, Path(tempfile.mkdtemp(dir=os.environ.get("GRADIO_TEMP_DIR"))))
            panels = gr.Row(visible=False), gr.Column(visible=True), _show_editor(where)
            yield *panels, _view(query), _prediction(query), str(archive), FRAGMENTS.report(html)


def _show_editor(where: str) -> Any:
    return gr.ImageEditor(visible=where == PAINTED)


def _painted(query: Query, painted: Mapping[str, Any] | None) -> torch.Tensor:
    """The region where the brush has painted, shape (1, 1, h, w): 1 inside, 0 outside."""
    layers = painted["layers"] if painted else []
    alpha = torch.as_tensor(layers[0][..., 3]) if layers else torch.zeros(CANVAS, CANVAS)
    region = (resize((alpha > 127).float()[None, None], query.image.shape[-1]) > 0.5).to(query.image)
    if not region.any():
        raise gr.Error("Nothing is painted, or too thin an area for the classifier: paint a larger one.", duration=None)
    return region


def _view(query: Query, region: torch.Tensor | None = None) -> str:
    """The input of the classifier, dimmed outside the region."""
    image = query.image if region is None else query.image * (0.3 + 0.7 * region)
    return str(FRAGMENTS.query(_uri(image[0]), query, region is not None))


def _prediction(of: Query | Progress) -> Any:
    if of.probabilities is None:
        return gr.skip()
    return gr.Label({_full_name(name): value for name, value in of.probabilities.items()}, visible=True)


def _full_name(name: str) -> str:
    return f"{name}, {spelled(name)}" if spelled(name) else name


def _uri(image: torch.Tensor) -> str:
    return f"data:image/png;base64,{base64.b64encode(png_bytes(image)).decode()}"
