"""The workers of dask: who they are, what they have, and what they return, as it is done."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from gpures.arguments.arrays import got
from gpures.errors import MissingDependencyError
from gpures.extras import install
from gpures.io.remote import is_url
from gpures.machine.allocator import keeping_memory
from gpures.machine.threads import sharing

__all__ = ["connected", "each_by_workers", "results", "room_of_workers", "seen_by_workers", "share", "tasks_by_host"]


@contextmanager
def connected(scheduler: str) -> Iterator[Any]:
    """A client of dask.

    Parameters
    ----------
    scheduler : str
        Address of a scheduler, ``"local"`` for workers of this machine's own, or ``"cuda"`` for one for each of its
        GPUs.

    Raises
    ------
    MissingDependencyError
        dask.distributed, or dask-cuda, is not installed.
    OSError
        There is no such scheduler.
    """
    distributed = _distributed()
    if scheduler == "cuda":
        try:
            from dask_cuda import LocalCUDACluster
        except ImportError as error:
            raise MissingDependencyError("A worker for each GPU needs dask-cuda: pip install dask-cuda.") from error
        with LocalCUDACluster() as cluster, distributed.Client(cluster) as client:
            yield client
    elif scheduler == "local":
        with distributed.LocalCluster(threads_per_worker=1) as cluster, distributed.Client(cluster) as client:
            yield client
    else:
        try:
            client = distributed.Client(scheduler, timeout=10)
        except (ValueError, OSError) as error:
            raise OSError(f"There is no scheduler at {scheduler!r}: {error}") from error
        with client:
            yield client


def room_of_workers(client: Any, backend: str) -> tuple[int, int | None]:
    """How many tasks the workers of a client do at a time, and bytes of memory for each; None where nobody says.

    That of a GPU counts where one is used.

    Raises
    ------
    TypeError
        It is none.
    TimeoutError
        There are no workers.
    """
    _wait_for_workers(client)
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    limits = [worker["memory_limit"] / max(1, worker["nthreads"]) for worker in workers if worker["memory_limit"]]
    most = max((worker["nthreads"] for worker in workers), default=1)
    if backend in ("auto", "cuda"):
        limits += [free / most for free in client.run(_free_on_gpu).values() if free is not None]
    return sum(worker["nthreads"] for worker in workers), int(min(limits)) if limits else None


def _wait_for_workers(client: Any) -> None:
    _distributed()
    if not hasattr(client, "scheduler_info"):
        raise TypeError(f"'client' must be a distributed.Client, got {got(client)}.")
    client.wait_for_workers(1, timeout=60)


def _free_on_gpu() -> int | None:
    """Bytes that are free on the GPU of a worker, the one with the least; None where it has none."""
    from gpures.backend.cuda.device import devices

    return min((device.free for device in devices()), default=None)


def seen_by_workers(client: Any, inputs: Any, reading: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Inputs and masks of a mosaic with whole paths, where workers of a client have another working folder.

    Parameters
    ----------
    client : distributed.Client or None
        Of the workers.
    inputs : object
        As `gpures.mosaic` takes them.
    reading : dict
        Arguments of `gpures.mosaic`, of which ``masks`` and ``weights`` are patterns of paths.

    Raises
    ------
    TypeError, TimeoutError
        As `room_of_workers`.
    """
    if client is None:
        return inputs, reading
    _wait_for_workers(client)
    here = os.getcwd()
    if all(folder == here for folder in client.run(os.getcwd).values()):
        return inputs, reading

    def whole(entry: Any) -> Any:
        if not isinstance(entry, (str, os.PathLike)) or is_url(entry):
            return entry
        return os.path.join(here, entry)

    patterns = {name: reading.get(name) for name in ("masks", "weights")}
    reading = {**reading, **{name: whole(path) for name, path in patterns.items() if path and os.path.dirname(path)}}
    if isinstance(inputs, (str, os.PathLike, Mapping)) or not isinstance(inputs, Iterable):
        return whole(inputs), reading
    return (map(whole, inputs) if isinstance(inputs, Iterator) else [*map(whole, inputs)]), reading


def tasks_by_host(client: Any) -> Counter[str]:
    """How many tasks the workers of a client do at a time, by the hosts that they are on."""
    found: Counter[str] = Counter()
    for address, worker in client.scheduler_info(n_workers=-1)["workers"].items():
        found[_host_of(address)] += worker["nthreads"]
    return found


def _host_of(address: str) -> str:
    """Host in an address of a worker, such as tcp://127.0.0.1:40000."""
    return address.rpartition("//")[2].rpartition(":")[0]


@contextmanager
def share(tasks_of_host: Mapping[str, int]) -> Iterator[None]:
    """Have a task use as many threads as is its share of the machine that it is on, and keep its memory meanwhile."""
    from distributed import get_worker

    with sharing(tasks_of_host.get(_host_of(get_worker().address), 1)), keeping_memory():
        yield


def each_by_workers(client: Any, work: Iterable[tuple[Any, ...]], names: Iterable[str]) -> Iterator[Any]:
    """What workers return of some work, as it is done.

    Parameters
    ----------
    client : distributed.Client
        Of the workers.
    work : iterable of tuple
        Functions, each with its arguments.
    names : iterable of str
        What they are called on the dashboard.

    Yields
    ------
    object
        What one of them returns. Its error ends all that is left, as does whoever asks for no more.

    Raises
    ------
    MemoryError
        Workers die of one task after the other.
    """
    run = secrets.token_hex(4)
    tasks_of_host = tasks_by_host(client)
    submitted = (
        client.submit(_shared, tasks_of_host, *each, key=f"{name}-{run}", pure=False)
        for each, name in zip(work, names, strict=True)
    )
    for _, result in results(client, submitted):
        yield result


def _shared(tasks_of_host: Mapping[str, int], work: Callable[..., Any], *arguments: Any) -> Any:
    with share(tasks_of_host):
        return work(*arguments)


def results(client: Any, submitted: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    """Numbers and results of tasks, as they are done; when something goes wrong all of them are cancelled."""
    from distributed import KilledWorker, as_completed

    futures: list[Any] = []
    try:
        for future in submitted:  # one by one, so that all that there are can be cancelled
            futures.append(future)
        numbers = {future.key: k for k, future in enumerate(futures)}
        for future in as_completed(futures):
            yield numbers[future.key], future.result()
    except BaseException as error:
        client.cancel(futures, force=True)
        if isinstance(error, KilledWorker):
            raise MemoryError(
                f"Workers have died of one task after the other, such as {error.task!r}, most likely because their "
                "memory is too little: give each of them more, or fewer threads."
            ) from error
        raise


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise MissingDependencyError(f"Workers need dask.distributed: {install('dask')}.") from error
    return distributed
