"""Where the items are explained: in this process, in one per core, or on Ray; the rows are the same."""

import os
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import cloudpickle
import torch
from joblib import Parallel, delayed
from joblib import cpu_count as usable_cores
from joblib.externals.loky import ProcessPoolExecutor

from cfexplain.audit.item import Item
from cfexplain.audit.worker import Result, Worker

Batch = Sequence[Item]
Engine = Callable[[Worker, Sequence[Batch]], Iterator[list[Result]]]  # Yields each batch's results as they come.

TRIES = 3  # Of a batch whose process dies.

__all__ = ["Engine", "local", "on_cores", "on_ray", "usable_cores"]


def local(worker: Worker, batches: Sequence[Batch]) -> Iterator[list[Result]]:
    """One batch after the other, in this process."""
    return map(worker, batches)


def on_cores(workers: int | None = None, *, cores: int = 1) -> Engine:
    """Worker processes on this machine, for classifiers on its CPU.

    Two processes are faster than two threads of one. If a process dies, another one tries its batch again. A worker
    that cannot be pickled, such as one whose classifier holds a session of another runtime, runs here, with a warning.

    Args:
        workers: processes; None is one per `cores` cores that this process may use. One worker is this process.
        cores: threads of each.

    Source: ours; experiments/benchmarks/audit_time.py.
    """

    def engine(worker: Worker, batches: Sequence[Batch]) -> Iterator[list[Result]]:
        count = workers or max(1, usable_cores() // cores)
        try:
            cloudpickle.dumps(worker if count > 1 else None)
        except Exception as error:
            sentence = f"cfexplain: the audit runs in this process alone: {type(error).__name__}: {error}"
            warnings.warn(sentence, stacklevel=2)
            count = 1
        if count == 1:
            return local(worker, batches)
        thread = threading.local()

        def run(batch: Batch) -> list[Result]:
            thread.process = getattr(thread, "process", None) or _process(cores)
            try:
                return list(thread.process.submit(_run, worker, batch, cores).result())
            except BrokenProcessPool:
                thread.process = None
                raise

        return _stream(run, BrokenProcessPool, TRIES, worker, batches, count)

    return engine


def on_ray(address: str | None = None, *, cores: float = 1, gpus: float = 0) -> Engine:
    """Workers on a Ray cluster.

    Args:
        address: of a running cluster, such as "auto" or "ray://head:10001", whose workers reach the images under the
            same paths; None starts one on this machine for the duration of the audit.
        cores: per batch, which uses as many threads; a share of a core is one thread.
        gpus: per batch; with a share such as 0.25 four workers use one GPU.

    Raises:
        ValueError: Ray is not installed, or there is no cluster at the address.
    """

    def engine(worker: Worker, batches: Sequence[Batch]) -> Iterator[list[Result]]:
        try:
            import ray
        except ImportError:
            raise ValueError("the Ray engine needs Ray: pip install 'cfexplain[ray]', or use --engine local") from None
        started = not ray.is_initialized()
        if started:
            _connect(ray, address)
        task = ray.remote(num_cpus=cores, num_gpus=gpus, max_retries=TRIES)(_run)
        shared, threads = ray.put(worker), max(1, int(cores))
        slots = 2 * max(1, int(ray.cluster_resources().get("CPU", 1) / max(cores, 1e-9)))
        # Anything else, such as a lost cluster or a node without the package, is no fault of the images: it raises.
        died = (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.NodeDiedError)
        try:
            run = lambda batch: ray.get(task.remote(shared, batch, threads))  # noqa: E731
            yield from _stream(run, died, 1, worker, batches, slots)
        finally:
            if started:
                ray.shutdown()

    return engine


def _stream(
    run: Callable[[Batch], list[Result]],
    died: type[Exception] | tuple[type[Exception], ...],
    tries: int,
    worker: Worker,
    batches: Sequence[Batch],
    slots: int,
) -> Iterator[list[Result]]:
    """The results of `run`, called in threads that wait for them; failed rows if it died at every try."""

    def attempt(batch: Batch, tries: int) -> list[Result]:
        try:
            return run(batch)
        except died as error:
            return attempt(batch, tries - 1) if tries > 1 else [worker.failed(item, error) for item in batch]

    stream = Parallel(slots, backend="threading", batch_size=1, return_as="generator_unordered")
    return iter(stream(delayed(attempt)(batch, tries) for batch in batches))


def _run(worker: Worker, batch: Batch, threads: int) -> list[Result]:
    torch.set_num_threads(threads)
    return worker(batch)


def _process(threads: int) -> Any:
    """A worker process: a pool of one, since a process that dies breaks all of its pool."""
    variables = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return ProcessPoolExecutor(1, initializer=_end_with, initargs=(os.getpid(),), env=variables)


def _end_with(audit: int) -> None:
    """End this process when the audit's is killed: it would wait for another batch for ever."""

    def watch() -> None:
        while os.getppid() == audit:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _connect(ray: Any, address: str | None) -> None:
    """Join the cluster, or start one on this machine."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    try:
        if host and port.isdigit():  # Ray itself would try for minutes where nobody listens
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address=address, include_dashboard=False if address is None else None, log_to_driver=False)
    except (ConnectionError, OSError) as error:
        raise ValueError(f"there is no Ray cluster at {address} ({error}): start one with ray start --head") from None
