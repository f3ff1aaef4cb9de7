"""Who answers the questions: this process, one on each core, or workers on Ray; all give the same rows."""

from __future__ import annotations

import os
import socket
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from threading import Thread
from typing import Any

from cfexplain.audit.question import Question
from cfexplain.audit.row import Examiner, Row

Engine = Callable[[Examiner, Sequence[Sequence[Question]]], Iterator[list[Row]]]
"""Takes questions in groups that are answered together, and gives each group's rows when they are there."""

AHEAD = 2
"""Groups under way for each process: one in its hands, one that waits."""

RETRIES = 3
"""How often a question is asked again whose worker died."""


def local(examiner: Examiner, groups: Sequence[Sequence[Question]]) -> Iterator[list[Row]]:
    """One group after the other, here."""
    for group in groups:
        yield examiner(group)


def on_cores(workers: int | None = None, *, cores: int = 1) -> Engine:
    """Worker processes on this machine, for classifiers on its CPU.

    An explanation gains little from a second thread; two side by side do not wait for each other. Where a worker
    dies, of its memory or of an image, the questions under way are asked again, each alone. What cannot be sent to
    others, such as a classifier that holds a session of another engine, is asked in this one, with a warning.

    Args:
        workers: processes; None is one for every `cores` cores that this process may use. Of one there is no gain: this
            process does its work.
        cores: threads of each.

    Source: ours; experiments/benchmarks/audit_time.py.
    """

    def engine(examiner: Examiner, groups: Sequence[Sequence[Question]]) -> Iterator[list[Row]]:
        if why := _bound_to_this_process(examiner):
            warnings.warn(f"cfexplain: the audit is answered in this process alone: {why}", stacklevel=2)
            yield from local(examiner, groups)
            return
        count = workers or max(1, usable_cores() // cores)
        if count == 1:
            yield from local(examiner, groups)
            return
        waiting = dict(enumerate(groups))
        while waiting:
            try:
                for index, rows in _in_processes(examiner, waiting.items(), count, cores):
                    del waiting[index]
                    yield rows
            except BrokenProcessPool:
                for index in list(waiting)[: AHEAD * count]:
                    yield _alone(examiner, waiting.pop(index), cores)

    return engine


def usable_cores() -> int:
    """Cores that this process may use."""
    from joblib import cpu_count

    return int(cpu_count())


def _bound_to_this_process(examiner: Examiner) -> str:
    """Why it cannot be sent to another process; empty where it can."""
    import cloudpickle

    try:
        cloudpickle.dumps(examiner)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _in_processes(
    examiner: Examiner, asked: Iterable[tuple[int, Sequence[Question]]], workers: int, threads: int
) -> Iterator[tuple[int, list[Row]]]:
    """Each group's number and rows, as they come."""
    from joblib import Parallel, delayed, parallel_config

    with parallel_config("loky", inner_max_num_threads=threads):
        at_work = Parallel(workers, batch_size=1, pre_dispatch=AHEAD * workers, return_as="generator_unordered")
        audit = os.getpid()
        yield from at_work(delayed(_numbered)(audit, index, examiner, group, threads) for index, group in list(asked))


def _alone(examiner: Examiner, group: Sequence[Question], threads: int) -> list[Row]:
    """A group's rows while nothing else is asked; where its process dies again, rows that say so."""
    try:
        # Of two workers, for joblib would do the work of one in this process.
        [(_, rows)] = _in_processes(examiner, [(0, group)], 2, threads)
        return rows
    except BrokenProcessPool as error:
        return [examiner.failed(question, error) for question in group]


def _numbered(
    audit: int, index: int, examiner: Examiner, group: Sequence[Question], threads: int
) -> tuple[int, list[Row]]:
    """A group's number and rows; joblib asks in the audit itself where it cannot start workers, as within one."""
    if os.getpid() == audit:
        return index, examiner(group)
    _end_with_parent()
    return index, _ask(examiner, group, threads)


@cache
def _end_with_parent() -> None:
    """Let this worker end when its audit is killed: joblib's would wait for ever for somebody to take its rows."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


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
