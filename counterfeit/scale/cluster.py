"""A connection to a Ray cluster, or to one that is started on this machine for as long as it is needed."""

import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, NamedTuple, TypeVar

from counterfeit.errors import UserError

HERE = "local"
SECONDS = 10  # that the head of a cluster may take to answer
RETRIES = 10  # after which the work, and not the machine, is to blame
# Nothing is told to anybody; of what goes wrong the first is raised, and the rest is not repeated; what Ray intends to
# change about GPUs is no news to users; and who runs out of memory is killed by the system, which is counted.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_memory_monitor_refresh_ms": "0",
}
Argument = TypeVar("Argument")
Result = TypeVar("Result")


class Machine(NamedTuple):
    """What a machine of a cluster has."""

    processors: int
    gpus: int


class LostCallError(Exception):
    """The process of a call is gone, or its machine, and with it what it was doing or had done."""


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
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import ray  # late: a second, and an extra

    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address == HERE:
        options |= {"num_cpus": processors, "include_dashboard": False}
    stopping = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address, **options)
    except (ConnectionError, RuntimeError, ValueError, AssertionError, ray.exceptions.RayError) as error:
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


def machines() -> list[Machine]:
    """Those of the connected cluster."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Machine(int(node.get("CPU", 0)), int(node.get("GPU", 0))) for node in nodes]


def share(found: Sequence[Machine], calls: int, gpus: int) -> int:
    """Processors for each of several calls: as many as let all of them run at once, or 1.

    Args:
        found: the machines of the cluster.
        calls: how many.
        gpus: that each call needs.
    """
    able = [machine for machine in found if machine.gpus >= gpus]

    def at_once(each: int) -> int:
        return sum(min(one.processors // each, one.gpus // gpus if gpus else calls) for one in able)

    most = max((machine.processors for machine in able), default=1)
    wanted = min(calls, at_once(1))
    return max((each for each in range(1, most + 1) if at_once(each) >= wanted), default=1)


def spread(function: Callable[[Argument], Result], arguments: Sequence[Argument], gpus: int = 0) -> Iterator[Result]:
    """Call a function with each argument, on whatever machine has room, and give results as they come.

    Calls share the processors evenly. One whose machine is lost is made again elsewhere.

    Args:
        function: of an installed module, or of the one that was started; it needs nothing of this process.
        arguments: one a call.
        gpus: that a call keeps busy.

    Raises:
        UserError: one that a call raised, a call died again and again, or the cluster has no such GPUs. The other
            calls end with the connection.
    """
    import ray

    found = machines()
    if gpus and not any(machine.gpus for machine in found):
        raise UserError("the cluster has no GPU: take --trainer.accelerator cpu")
    remote = ray.remote(num_cpus=share(found, len(arguments), gpus), num_gpus=gpus, max_retries=RETRIES)(function)
    waiting = [remote.remote(argument) for argument in arguments]
    while waiting:
        done, waiting = first_of(waiting)
        try:
            yield told(done)
        except LostCallError as died:
            raise dies_always(died) from died


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
    """What a call on the cluster gave. What a verb tells in one line is raised as it was there.

    Raises:
        LostCallError: the process of the call did.
    """
    import ray
    from ray import exceptions

    gone = (
        exceptions.RayActorError,
        exceptions.WorkerCrashedError,
        exceptions.OutOfMemoryError,
        exceptions.NodeDiedError,
        exceptions.ObjectLostError,  # what it gave lay on a machine that is lost
    )
    try:
        return ray.get(result)
    except exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError | OSError | MemoryError | RuntimeError):
            raise error.cause from error
        raise
    except gone as error:
        raise LostCallError(str(error).partition("\n")[0]) from error


def dies_always(died: LostCallError) -> UserError:
    """What to say of a call that was made again often enough."""
    return UserError(
        f"a process of the cluster died again and again ({died}). Too little memory is the usual reason; the same "
        "command continues"
    )
