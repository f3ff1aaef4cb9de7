"""Who answers the questions: this process, or workers on Ray; both give the same rows."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cfexplain.audit.question import Question
from cfexplain.audit.row import Examiner, Row

Engine = Callable[[Examiner, Sequence[Sequence[Question]]], Iterator[list[Row]]]
"""Takes questions in groups that are answered together, and gives each group's rows when they are there."""

RETRIES = 3
"""How often a question is asked again whose worker died."""


def local(examiner: Examiner, groups: Sequence[Sequence[Question]]) -> Iterator[list[Row]]:
    """One group after the other, here."""
    for group in groups:
        yield examiner(group)


def on_ray(address: str | None = None, *, cores: float = 1, gpus: float = 0) -> Engine:
    """Workers on a Ray cluster.

    Args:
        address: of a running cluster, such as "auto" or "ray://head:10001"; None starts one on this machine for the
            time of the audit. Workers must reach the pictures under the same paths.
        cores: of each question, which is answered on so many threads; shares of a core are one thread.
        gpus: of each question; a share such as 0.25 lets four workers use one.

    Raises:
        ValueError: Ray is not installed, or there is no cluster at the address.
    """

    def engine(examiner: Examiner, groups: Sequence[Sequence[Question]]) -> Iterator[list[Row]]:
        ray = _ray()
        started = _connect(ray, address)
        try:
            yield from _answers(ray, examiner, groups, cores, gpus)
        finally:
            if started:
                ray.shutdown()

    return engine


def _answers(
    ray: Any, examiner: Examiner, groups: Sequence[Sequence[Question]], cores: float, gpus: float
) -> Iterator[list[Row]]:
    """Keep all workers busy, with twice as many questions under way as can be answered at once."""
    ask = ray.remote(num_cpus=cores, num_gpus=gpus, max_retries=RETRIES)(_ask)
    shared, waiting, threads = ray.put(examiner), list(reversed(groups)), max(1, int(cores))
    room = 2 * max(1, int(ray.cluster_resources().get("CPU", 1) / max(cores, 1e-9)))
    running: dict[Any, Sequence[Question]] = {}
    while waiting or running:
        while waiting and len(running) < room:
            group = waiting.pop()
            running[ask.remote(shared, group, threads)] = group
        ready, _ = ray.wait(list(running), num_returns=1)
        yield _given(ray, ready[0], running.pop(ready[0]), examiner)


def _given(ray: Any, answer: Any, group: Sequence[Question], examiner: Examiner) -> list[Row]:
    """A worker's rows; where its process, memory or machine gave out again and again, rows that say so.

    Everything else, such as a lost cluster or a node without the package, is no image's fault and ends the audit.
    """
    died = (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.NodeDiedError)
    try:
        rows: list[Row] = ray.get(answer)
        return rows
    except died as error:
        return [examiner.failed(question, error) for question in group]


def _ask(examiner: Examiner, group: Sequence[Question], threads: int) -> list[Row]:
    """What a worker does, on as many threads as it was given cores."""
    import torch

    torch.set_num_threads(threads)
    return examiner(group)


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise ValueError("the Ray engine needs Ray: pip install 'cfexplain[ray]', or use --engine local") from None
    return ray


def _connect(ray: Any, address: str | None) -> bool:
    """Join the cluster, or start one here; whether it must be ended."""
    if ray.is_initialized():
        return False
    try:
        _reach(address)
        ray.init(address=address, include_dashboard=False if address is None else None, log_to_driver=False)
    except (ConnectionError, OSError) as error:
        raise ValueError(f"there is no Ray cluster at {address} ({error}): start one with ray start --head") from None
    return True


def _reach(address: str | None) -> None:
    """Fail at once where nobody listens: Ray itself goes on trying for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()
