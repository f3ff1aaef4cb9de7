"""The page: where its parts stand, and what happens when they are used."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from cfexplain.app import fragment
from cfexplain.app.ask import Ask
from cfexplain.app.search import Stopped
from cfexplain.app.sight import Growing, Grown
from cfexplain.app.studio import Studio
from cfexplain.app.visit import Visit
from cfexplain.images import SUFFIXES, ImageError
from cfexplain.method.presets import METHODS
from cfexplain.report import glossary
from cfexplain.report.page import percent

MISSING = "the app needs Gradio: pip install 'cfexplain[app]'"
TITLE = "cfexplain: one lesion"
EVERYWHERE, LESION, PAINTED = "everywhere", "on the lesion", "where I paint"
HERE = '<div class="empty"><p>The counterfactual grows here.</p></div>'
FIRST = "There is no picture yet: drop one, or take an example."
LOOK_DOWN = """() => { const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
const look = () => document.querySelector('#stop')?.scrollIntoView({behavior: calm ? 'auto' : 'smooth'});
if (innerWidth < 900) setTimeout(look, 200); }"""
"""On a narrow screen the search lies below the question."""

PAINTED_TOO = "(target, where, painted, ...rest) => [target, where, window.cfexplainRegion(), ...rest]"
"""What is painted lives in the page until it is asked for."""

Update = dict[Any, Any]
log = logging.getLogger(__name__)


def gradio() -> Any:
    """The package, imported when the app is wanted.

    Raises:
        ValueError: it is not installed; the message says what to do.
    """
    try:
        import gradio as package
    except ImportError:
        raise ValueError(MISSING) from None
    return package


def build(
    classifier_names: Sequence[str] = ("ham10000", "synthetic"),
    device: str = "auto",
    *,
    studio: Studio | None = None,
) -> Any:
    """The app's page as `gradio.Blocks`; `launch` shows it with its style, to this computer alone.

    Args:
        classifier_names: on offer, the first one chosen, as in `cfexplain explain`.
        device: auto, cpu, cuda, ...
        studio: keeps classifiers and files, in place of a new one; whoever gives it closes it.

    Raises:
        ValueError: Gradio is not installed, or there is no such classifier.
    """
    gr = gradio()
    studio = studio or Studio(classifier_names, device)
    studio.shelf.load(studio.shelf.names[0])
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, 3600), fill_width=True) as blocks:
        _Page(gr, studio).wire(blocks)
    return blocks


class _Page:
    """Components as attributes; each handler takes the visit's key and gives what changes, by component."""

    def __init__(self, gr: Any, studio: Studio) -> None:
        self.gr, self.studio, self.shelf = gr, studio, studio.shelf
        self.banner = gr.HTML(
            fragment.banner(self.shelf.load(self.shelf.names[0])), apply_default_css=False, elem_id="top"
        )
        with gr.Row(elem_id="desk", equal_height=False):
            with gr.Column(scale=4, min_width=300, elem_id="question"):
                self._lay_out_picture()
                self._lay_out_question()
            with gr.Column(scale=7, min_width=300, elem_id="growth"):
                self._lay_out_answer()

    def _lay_out_picture(self) -> None:
        gr = self.gr
        self.classifier = gr.Dropdown(list(self.shelf.names), value=self.shelf.names[0], label="Classifier")
        self.file = gr.File(
            label="Picture: JPEG, PNG, TIFF, BMP or WebP, at most 20 MB",
            file_types=list(SUFFIXES),
            height=180,
            elem_id="picture",
        )
        self.example = gr.Button("Take an example: a lesion painted here", size="sm")
        self.message = gr.HTML("", apply_default_css=False, elem_id="message")

    def _lay_out_question(self) -> None:
        gr = self.gr
        with gr.Column(visible=False, elem_id="asking") as self.asking:
            self.target = gr.Dropdown([], label="What would it take to be", interactive=True)
            self.where = gr.Radio(
                [EVERYWHERE, LESION, PAINTED], value=EVERYWHERE, label="Where may the picture change?", interactive=True
            )
            self.outline = gr.HTML("", apply_default_css=False, visible=False, elem_id="outline")
            self.painter = gr.HTML("", apply_default_css=False, visible=False, elem_id="painter")
            self.painted = gr.Textbox("", visible=False)
            with gr.Accordion("Settings", open=False):
                self._lay_out_settings()
            self.go = gr.Button("Explain", variant="primary", size="lg", elem_id="go")

    def _lay_out_settings(self) -> None:
        gr = self.gr
        self.method = gr.Dropdown(list(METHODS), value="natural", label="Method", info="natural is measured best")
        self.confidence = gr.Number(0, label="Probability to reach", info="0: as the method has it", step=0.05)
        self.seed = gr.Number(0, label="Seed", info="Same seed, same result", precision=0)
        self.budget = gr.Number(0, label="Budget in seconds", info="0: as long as it takes")

    def _lay_out_answer(self) -> None:
        gr = self.gr
        self.stop = gr.Button("Stop", variant="stop", visible=False, elem_id="stop")
        self.query = gr.HTML(HERE, apply_default_css=False, elem_id="query")
        self.live = gr.HTML("", apply_default_css=False, elem_id="live", visible=False)
        with gr.Column(visible=False, elem_id="result") as self.result:
            self.verdict = gr.HTML("", apply_default_css=False, elem_id="verdict")
            with gr.Row(equal_height=False):
                with gr.Column(scale=5, min_width=280):
                    self.slider = gr.ImageSlider(
                        label="Before and after",
                        type="filepath",
                        interactive=False,
                        buttons=["fullscreen"],
                        max_height=900,
                        elem_id="slider",
                    )
                    self.download = gr.DownloadButton(
                        "Download the record (zip)", variant="primary", elem_id="download"
                    )
                    self.change = gr.HTML("", apply_default_css=False, elem_id="change")
                with gr.Column(scale=4, min_width=260):
                    self.bars = gr.HTML("", apply_default_css=False, elem_id="bars")
            self.reasons = gr.HTML("", apply_default_css=False, elem_id="reasons")

    def wire(self, blocks: Any) -> None:
        """Connect what is used with what happens."""
        seen = [self.file, self.message, self.banner, self.query, self.asking, self.target, self.where, self.outline,
                self.painter, self.live, self.result]  # fmt: skip
        quiet = {"show_progress": "hidden", "api_visibility": "private"}
        self.file.upload(_keyed(self.take), [self.file, self.classifier], seen, **quiet)
        self.example.click(_keyed(self.take_example), [self.classifier], seen, **quiet)
        self.classifier.input(_keyed(self.look_again), [self.classifier], seen, **quiet)
        self.where.input(_keyed(self.choose_where), [self.where], [self.outline, self.painter, self.message], **quiet)
        self.stop.click(_keyed(self.halt), [], [self.message], queue=False, **quiet)
        asked = [self.target, self.where, self.painted, self.method, self.confidence, self.seed, self.budget]
        shown = [self.message, self.query, self.live, self.go, self.stop, self.result, self.verdict, self.slider,
                 self.bars, self.change, self.reasons, self.download]  # fmt: skip
        begun = [self.message, self.go, self.stop, self.query, self.live, self.result]
        self.go.click(_keyed(self.wait), [], begun, queue=False, **quiet).then(
            fn=None, js=LOOK_DOWN, api_visibility="private"
        ).then(
            _keyed(self.explain), asked, shown, concurrency_limit=1, concurrency_id="search", js=PAINTED_TOO, **quiet
        ).then(self.rest, [], [self.go, self.stop], queue=False, **quiet)
        blocks.load(_keyed(self.arrive), [], [], queue=False, **quiet)
        blocks.unload(_keyed(self.leave))

    def arrive(self, key: str) -> None:
        """The page was opened."""
        self.studio.visit(key)

    def take(self, key: str, path: str | None, classifier: str) -> Update:
        """A picture was dropped."""
        if path is None:
            return {self.file: None}
        return self._taken(key, classifier, lambda visit: visit.read(path))

    def take_example(self, key: str, classifier: str) -> Update:
        """An example is wanted."""
        return self._taken(key, classifier, lambda visit: visit.example())

    def look_again(self, key: str, classifier: str) -> Update:
        """Another classifier was chosen."""
        visit = self.studio.visit(key)
        visit.stop()
        if visit.picture is None:
            return {self.banner: fragment.banner(self.shelf.load(classifier))}
        return self._taken(key, classifier, lambda visit: None)

    def choose_where(self, key: str, where: str) -> Update:
        """Another region was chosen."""
        visit = self.studio.visit(key)
        if visit.query is None:
            return {self.message: fragment.message(FIRST, "alert")}
        outline = fragment.within(visit) if where == LESION else ""
        painter = fragment.painter(visit) if where == PAINTED else ""
        return {
            self.outline: self.gr.HTML(outline, visible=where == LESION),
            self.painter: self.gr.HTML(painter, visible=where == PAINTED),
            self.message: "",
        }

    def wait(self, key: str) -> Update:
        """The search was asked for: say at once that it comes, and what it waits for."""
        gr, before = self.gr, self.studio.queue_up(key)
        words = f"{_counted(before)} before yours: it begins by itself, stay here." if before else "It begins."
        return {
            self.message: fragment.message(words),
            self.go: gr.Button(interactive=False),
            self.stop: gr.Button(visible=True),
            self.query: gr.HTML(visible=False),
            self.live: gr.HTML(_waiting(words if before else "The painter gets ready."), visible=True),
            self.result: gr.Column(visible=False),
        }

    def explain(
        self,
        key: str,
        target: str | None,
        where: str,
        painted: str,
        method: str,
        confidence: float | None,
        seed: float | None,
        budget: float | None,
    ) -> Iterator[Update]:
        """Let it grow, sight by sight, to the result."""
        waited = self.studio.come_up(key)
        visit = self.studio.visit(key)
        try:
            if not waited:
                raise Stopped
            region = visit.outline() if where == LESION else fragment.painted(painted) if where == PAINTED else None
            ask = Ask(target or "auto", method, confidence or None, int(seed or 0), budget or None, region)
            yield from self._grow(visit, ask)
        except Stopped:
            yield self._ended("Stopped; nothing of it is kept.")
        except (ValueError, TypeError) as error:
            yield self._ended(_sentence(error), "alert")
        except torch.OutOfMemoryError:
            yield self._ended("The memory was too small for it: close other programs, or use a CPU.", "alert")
        except Exception as error:
            log.exception("a search failed")
            words = f"This failed for a reason of its own ({type(error).__name__}: {error}): please report it."
            yield self._ended(words, "alert")

    def rest(self) -> Update:
        """However the search ended, another one may begin."""
        return {self.go: self.gr.Button(interactive=True), self.stop: self.gr.Button(visible=False)}

    def halt(self, key: str) -> Update:
        """Stop was pressed."""
        self.studio.come_up(key)
        self.studio.visit(key).stop()
        return {self.message: fragment.message("It stops.")}

    def leave(self, key: str) -> None:
        """The page was closed."""
        self.studio.end(key)

    def _taken(self, key: str, classifier: str, take: Callable[[Visit], None]) -> Update:
        """Take a picture, or say why not; a new question begins either way."""
        gr, visit = self.gr, self.studio.visit(key)
        try:
            take(visit)
            visit.look(classifier)
        except (ValueError, TypeError) as error:
            return {self.file: None, self.message: fragment.message(_sentence(error), "alert")}
        source, *others = visit.chances()
        return {
            self.file: None,
            self.message: fragment.message(f"{visit.name}: {classifier} says {source[0]}, {percent(source[1])}."),
            self.banner: fragment.banner(self.shelf.load(classifier)),
            self.query: gr.HTML(fragment.seen(visit, classifier), visible=True),
            self.asking: gr.Column(visible=True),
            self.target: gr.Dropdown([(_named(*pair), pair[0]) for pair in others], value=others[0][0]),
            self.where: EVERYWHERE,
            self.outline: gr.HTML("", visible=False),
            self.painter: gr.HTML("", visible=False),
            self.live: gr.HTML("", visible=False),
            self.result: gr.Column(visible=False),
        }

    def _grow(self, visit: Visit, ask: Ask) -> Iterator[Update]:
        source, target, stage = visit.chances()[0][0], ask.target, ""
        assert visit.query is not None
        query = visit.query[0]
        for sight in visit.explain(ask):
            if isinstance(sight, Grown):
                yield self._shown(sight)
            elif isinstance(sight, Growing):
                words = fragment.doing(sight.stage, target) + "."
                said = {} if sight.stage == stage else {self.message: fragment.message(words)}
                stage = sight.stage
                yield {self.live: fragment.growing(sight, query, source, target), **said}

    def _shown(self, grown: Grown) -> Update:
        gr, explanation = self.gr, grown.explanation
        status = explanation.status.value
        words = f"Done: {explanation.verdict.kind.value if status == 'found' else status.replace('_', ' ')}."
        return self._ended(words) | {
            self.query: gr.HTML(visible=False),
            self.result: gr.Column(visible=True),
            self.verdict: fragment.verdict(grown),
            self.slider: fragment.slides(grown),
            self.bars: fragment.bars(grown),
            self.change: fragment.changed(grown),
            self.reasons: fragment.reasons(grown),
            self.download: gr.DownloadButton(value=str(grown.archive)),
        }

    def _ended(self, words: str, kind: str = "status") -> Update:
        gr = self.gr
        return {
            self.message: fragment.message(words, kind),
            self.query: gr.HTML(visible=True),
            self.live: gr.HTML("", visible=False),
            self.go: gr.Button(interactive=True),
            self.stop: gr.Button(visible=False),
        }


def _keyed(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The handler as Gradio calls it: the visit's key comes from the request."""

    def once(request: Any, *values: Any) -> Any:
        return handler(request.session_hash, *values)

    def streamed(request: Any, *values: Any) -> Iterator[Any]:
        yield from handler(request.session_hash, *values)

    called = streamed if inspect.isgeneratorfunction(handler) else once
    called.__annotations__ = {"request": gradio().Request}
    return called


def _named(name: str, probability: float) -> str:
    """A class, spelled out, with its probability."""
    spelled = glossary.CLASSES.get(name, "")
    return f"{name}, {spelled} ({percent(probability)})" if spelled else f"{name} ({percent(probability)})"


def _sentence(error: BaseException) -> str:
    """A message as a sentence."""
    text = str(error).rstrip(".")
    return f"{text[:1].upper() if not isinstance(error, ImageError) else text[:1]}{text[1:]}."


def _counted(before: int) -> str:
    return "Another lesion is" if before == 1 else f"{before} other lesions are"


def _waiting(words: str) -> str:
    return f'<div class="empty"><p>{words}</p></div>'
