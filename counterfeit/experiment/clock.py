"""How long the stages of a run take."""

import contextlib
import time
from collections.abc import Iterator

from rich.console import Console


class Clock:
    """Says when a stage begins and how long it took.

    Attributes:
        seconds: of each stage so far, all its seeds together.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def stage(self, name: str, of: str = "") -> Iterator[None]:
        """Around a stage, or around what of it belongs to one seed."""
        start = time.perf_counter()
        self.console.print(f"[bold]{name}[/bold] {of}".rstrip())
        yield
        spent = time.perf_counter() - start
        self.seconds[name] = round(self.seconds.get(name, 0.0) + spent, 1)
        self.console.print(f"  {spent:.0f} s")
