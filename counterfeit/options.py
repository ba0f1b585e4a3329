"""Options as they are given: what no setting can mean is refused where it is parsed, by all verbs alike."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jsonargparse

from counterfeit.errors import UserError

LARGEST_SEED = 2**32 - 1  # what numpy and Lightning take
OF_OTHERS = ".init_args."  # within the keys of loggers and callbacks, which have rules of their own


class Parser(jsonargparse.ArgumentParser):
    """A parser that raises ``UserError`` for what :func:`check_options` and :func:`config_read` refuse."""

    def parse_args(self, *args: Any, **options: Any) -> Any:
        """What the arguments say, checked."""
        with config_read():
            given = super().parse_args(*args, **options)
        check_options(given)
        return given


@contextmanager
def config_read() -> Iterator[None]:
    """While options are parsed: a ``--config`` that is no text is the user's mistake, ``UserError``."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise UserError(f"--config names a file that is no text ({error.reason}): give a YAML file") from error


def check_options(given: jsonargparse.Namespace) -> None:
    """Refuse empty texts, as of a shell variable that is not set, and numbers that are none.

    Raises:
        UserError: there is one.
    """
    for key, value in given.items():
        if OF_OTHERS in key:
            continue
        if isinstance(value, str) and not value.strip():
            raise UserError(f"the option {key} is empty: give it a value, or leave it out")
        for number in value if isinstance(value, list | tuple) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                raise UserError(f"--{key}: {number} is not a finite number")


def check_seed(option: str, seed: int) -> None:
    """Raise ``UserError`` for a seed that no source of random numbers takes."""
    if not 0 <= seed <= LARGEST_SEED:
        raise UserError(f"--{option}: {seed} is no seed; give a whole number from 0 to {LARGEST_SEED}")
