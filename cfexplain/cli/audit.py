"""`cfexplain audit`: counterfactuals of a whole data set, and what they say about its classifiers."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cfexplain.cli import terminal

if TYPE_CHECKING:
    from cfexplain.audit.engine import Engine

ENGINES = ("auto", "local", "cores", "ray")
MANY = 8  # Images from which on the engine auto uses every core of a CPU: worker processes take seconds to start.
ENGINE = "local (this process), cores (all of a CPU) or ray."
NOTE = (
    "Leaks and near-duplicates make numbers look better than they are; a column that goes with the label can be "
    "learned in the lesion's place."
)


@terminal.command()
def audit(
    data: terminal.Dataset,
    classifier: Annotated[list[str], typer.Option(help="As in explain; repeat it to audit several side by side.")],
    out: Annotated[Path, typer.Option(help="Folder of the audit; an interrupted audit in it is resumed.")],
    dataset: terminal.Reader = "auto",
    split: Annotated[str, typer.Option(help="test, val, train or all.", show_default="test, if there is one")] = "auto",
    target: Annotated[str, typer.Option(help="auto (the second most likely class), a class, or each.")] = "auto",
    method: Annotated[str, typer.Option(help="Method of the counterfactuals, as in explain.")] = "natural",
    prior: terminal.Prior = None,
    oracle: terminal.Oracles = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Images, at most, chosen by a hash of their names.")] = None,
    seed: terminal.Seed = 0,
    budget: terminal.Budget = math.inf,
    batch: Annotated[int, typer.Option(min=1, help="Counterfactuals optimised together, for a GPU.")] = 1,
    engine: Annotated[str, typer.Option(help=ENGINE, show_default="cores on a CPU")] = "auto",
    ray_address: Annotated[str | None, typer.Option(help="A running Ray cluster; without it one starts here.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Ray workers that share a GPU.")] = 1,
    cores: Annotated[int, typer.Option(min=1, help="Threads of each worker.")] = 1,
    fail_on: Annotated[list[str] | None, typer.Option(help="Rule that must not hold: found<0.9; repeatable.")] = None,
    device: terminal.Device = "auto",
) -> terminal.Output:
    """Explain every image of a data set, and report what changes the classifier's prediction, where, and for whom.

    Exit codes: 0: all checks passed, 1: a check failed, 2: bad usage or input.
    """
    from cfexplain.audit import Section
    from cfexplain.audit import audit as run_audit
    from cfexplain.audit.item import chosen
    from cfexplain.audit.rule import Rule
    from cfexplain.classifier.sources import device_of, load_classifier, load_oracles
    from cfexplain.method.presets import load_method
    from cfexplain.plugins import plugin
    from cfexplain.report import render

    for rule in fail_on or ():
        Rule.parse(rule)
    names = [name if ":" in name else Path(name).name.removesuffix(".safetensors") for name in classifier]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two classifiers are called {repeated.pop()}: rename one")
    datasets, counterfactuals, on_gpu = plugin("datasets"), load_method(method, prior), device_of(device).type == "cuda"
    whole = datasets.open_dataset(dataset, data)
    samples = datasets.subset(whole, split)
    samples = samples.select(samples.table.index[chosen(samples, limit)])
    workplace = engine_of(engine, len(samples), on_gpu, cores, workers, ray_address)
    models = {name: load_classifier(source, device) for name, source in zip(names, classifier, strict=True)}
    oracles = load_oracles(oracle or (), classifier[0], models[names[0]])
    terminal.make_folder(out)
    with terminal.progress("audit") as show:
        done = run_audit(
            models, samples, out, target=target, method=counterfactuals, seed=seed, batch=batch,
            oracles={name: model for name, model in oracles.items() if name not in models},
            names=datasets.OTHER_NAMES, budget=budget, engine=workplace,
            rules=fail_on or (), progress=show and (lambda rows, total: show(completed=rows, total=total)),
            data=Section("data", "What is in the data?", NOTE, "table", datasets.findings(whole, samples)),
        )  # fmt: skip
    yield f"{done.summary.facts['rows']} rows in {done.folder}"
    for check in done.summary.checks:
        known = "" if check.value is None else f" {check.value:.3f} [{check.low:.3f}, {check.high:.3f}], n = {check.n}"
        yield f"{check.outcome}: {check.rule} ({check.note}){known}"
    yield f"look at {render(done.folder)}"
    yield terminal.FAILED if done.summary.outcome == "fail" else terminal.OK


def engine_of(name: str, images: int, on_gpu: bool, cores: int, workers: int, ray_address: str | None) -> "Engine":
    """The engine of a name; auto is worker processes if they save more time than they take to start."""
    from cfexplain.audit.engine import local, on_cores, on_ray, usable_cores

    if name not in ENGINES:
        raise ValueError(f"there is no engine {name}: use {', '.join(ENGINES)}")
    if name == "ray":
        return on_ray(ray_address, cores=cores, gpus=1 / workers if on_gpu else 0)
    if name == "cores" and on_gpu:
        raise ValueError("the engine cores is for the CPU: use --device cpu, or --engine local with --batch")
    many = images >= MANY and not on_gpu and usable_cores() > 1
    return on_cores(cores=cores) if name == "cores" or (name == "auto" and many) else local
