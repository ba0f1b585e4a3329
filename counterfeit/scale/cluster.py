"""A connection to a Ray cluster, or to one that is started on this machine for as long as it is needed."""

import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, TypeVar

from counterfeit.errors import UserError

HERE = "local"
SECONDS = 10  # that the head of a cluster may take to answer
RETRIES = 10  # after which the work, and not the machine, is to blame
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
Argument = TypeVar("Argument")
Result = TypeVar("Result")


@contextmanager
def connected(address: str, processors: int | None = None) -> Iterator[None]:
    """A connection for as long as the context lasts.

    Args:
        address: ``local`` starts a cluster on this machine; ``auto`` finds the one that this machine belongs to; else
            the host and port of its head, such as ``head:6379``.
        processors: of a cluster that is started here; all unless told.

    Raises:
        UserError: Ray is not installed, or there is no cluster at the address.
    """
    if find_spec("ray") is None:
        raise UserError("--ray needs Ray, which is not installed: pip install 'counterfeit[scale]'")
    _check_address(address)
    # Nothing is told to anybody; of what goes wrong, the first is raised and the rest is not repeated; and what Ray
    # intends to change about GPUs is no news to users.
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import ray  # late: a second, and an extra

    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address == HERE:
        options |= {"num_cpus": processors, "include_dashboard": False}
    stopping = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address, **options)
    except (ConnectionError, RuntimeError, ValueError, AssertionError) as error:
        raise UserError(f"--ray {address}: there is no cluster to connect to ({error})") from error
    try:
        signal.signal(signal.SIGTERM, stopping)  # which Ray takes for itself
        yield
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Raise ``UserError`` where nothing answers, for which Ray would wait many minutes."""
    if address in (HERE, "auto"):
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise UserError(
            f"--ray {address}: give local, auto or host:port, as in head:6379, on a machine that belongs to the cluster"
        )
    try:
        socket.create_connection((host, int(port)), timeout=SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"--ray {address}: nothing answers there ({error})") from error


def spread(function: Callable[[Argument], Result], arguments: Sequence[Argument], gpus: float = 0) -> Iterator[Result]:
    """Call a function with each argument, on whatever machine has room, and give results as they come.

    Calls share the processors evenly. One whose machine is lost is made again elsewhere.

    Args:
        function: of a module that the machines have too; it needs nothing of this process.
        arguments: one a call.
        gpus: that a call keeps busy.

    Raises:
        UserError: one that a call raised, or the cluster has no such GPUs. The other calls end with the connection.
    """
    import ray

    if gpus > ray.cluster_resources().get("GPU", 0):
        raise UserError("the cluster has no GPU: take --trainer.accelerator cpu")
    nodes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    share = max(1, min(max(nodes), sum(nodes) // max(1, len(arguments))))
    remote = ray.remote(num_cpus=share, num_gpus=gpus, max_retries=RETRIES)(function)
    waiting = [remote.remote(argument) for argument in arguments]
    while waiting:
        done, waiting = first_of(waiting)
        yield told(done)


def first_of(waiting: Sequence[Any]) -> tuple[Any, list[Any]]:
    """The first of several calls that has ended, and the others."""
    import ray

    try:
        (done, *_), others = ray.wait(list(waiting))
    except SystemError as error:  # so Ray's compiled code passes on what a signal raises
        if error.__cause__ is None or isinstance(error.__cause__, Exception):
            raise
        raise error.__cause__ from None
    return done, others


def told(result: Any) -> Any:
    """What a call on the cluster gave; a ``UserError`` of it is raised as it was there.

    Raises:
        UserError: that, or the process of the call died again and again.
    """
    import ray
    import ray.exceptions as lost

    try:
        return ray.get(result)
    except lost.RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise error.cause from None
        raise
    except (lost.RayActorError, lost.WorkerCrashedError, lost.OutOfMemoryError, lost.NodeDiedError) as error:
        raise UserError(
            f"a process of the cluster died {RETRIES + 1} times, the last time of: {str(error).splitlines()[0]} "
            "Too little memory is the usual reason; the same command continues"
        ) from error
