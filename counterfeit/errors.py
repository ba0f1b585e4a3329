"""How a verb ends: its exit codes, and a user's mistake or an interruption told in one line instead of a traceback."""

import errno
import functools
import os
import re
import shlex
import sys
from argparse import ArgumentError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec

DONE, NOT_SOUND, USER_ERROR, GATE_FAILED, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 130, 143
Parameters = ParamSpec("Parameters")
KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false"}
EXPECTED = re.compile(r"Expected (?:a )?(?:<class '(\w+)'>|typing\.Literal\[([^]]*)])")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
OF_CLASS = re.compile(r"^Namespace\(class_path='([^']+)'.*")
PROBLEM = re.compile(
    r"Problem with given class_path '([^']+)': (.*?)(?= - (?:Expected|Not a valid|Problem)| Given value|$)"
)
OUT_OF_MEMORY = re.compile(r"can't allocate memory|out of memory")  # as torch says it
GOT = re.compile(r"(?:Got value|Given value): (.*?)(?= - Expected| Given value type|$)")


class UserError(Exception):
    """What was wrong, where, and what to do, in one plain line."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def one_line(message: object) -> str:
    """A message without line breaks and runs of spaces."""
    return " ".join(str(message).split())


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name ``path`` in what the system says of a full disk meanwhile, where it names no file itself."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in FULL:
            error.filename = str(path)
        raise


def continuing(run: Path) -> str:
    """The command that continues the run in a folder, for messages; a finished run goes on with named stages only."""
    config, out = (shlex.quote(str(path)) for path in (run / "config.yaml", run))
    named = " --stages '[detector,compare,report]'" if (run / "report.html").exists() else ""  # what is kept is read
    return f"python -m counterfeit.fit --config {config} --out {out}{named}"


def refusal(error: OSError) -> str | None:
    """What the system refuses the user: where, why and what to do; ``None`` for all other failures."""
    advice = {
        **dict.fromkeys(FULL, "make room there, then give the same command again"),
        **dict.fromkeys(FORBIDDEN, "allow it, or choose another place"),
        errno.ENAMETOOLONG: "choose a shorter name",
    }.get(error.errno or 0)
    if advice is None:
        return None
    said = [os.strerror(error.errno or 0)]
    if error.filename is not None:
        said.insert(0, os.fsdecode(error.filename))
    elif error.errno in FULL:
        said.insert(0, "a file could not be written")
    return one_line(f"{': '.join(said)}; {advice}")


def plainly(error: ArgumentError) -> str:
    """What jsonargparse says of an option, in one line; for a value of another kind, what is expected instead."""
    said = one_line(error)
    key, got, expected = re.match(r'Parser key "([^"]+)"', said), GOT.search(said), EXPECTED.findall(said)
    if key and (problem := PROBLEM.search(said)):
        return f"--{key[1]}: {problem[1]}: {problem[2]}"
    kinds = {kind for kind, _ in expected} - {"", "NoneType"}
    choices = ", ".join(choices for _, choices in expected if choices)
    if not key or not got or len(expected) < said.count("Expected ") or len(kinds) + bool(choices) != 1:
        return said
    option, value = f"--{key[1]}", OF_CLASS.sub(r"\1", got[1])
    if choices:
        return f"{option}: {value} is none of {choices.replace(chr(39), '')}"
    (kind,) = kinds
    if kind in ("list", "tuple"):
        return f"{option}: {value} is no list; write {option} '[{value}{', ...' if kind == 'tuple' else ''}]'"
    return f"{option}: {value} is not {KINDS.get(kind, kind)}"


def verb(main: Callable[Parameters, int]) -> Callable[Parameters, int]:
    """Let a ``main`` return an exit code whatever happens: 2 for a user's mistake, 130 for Ctrl+C.

    A full disk, a place that may not be written and too little memory are told like a mistake. All else, a defect of
    ours and ``--help``, goes through.
    """

    @functools.wraps(main)
    def ended(*args: Parameters.args, **options: Parameters.kwargs) -> int:
        try:
            return main(*args, **options)
        except (UserError, ArgumentError) as error:
            print(f"error: {plainly(error) if isinstance(error, ArgumentError) else error}", file=sys.stderr)
            return USER_ERROR
        except OSError as error:
            if (told := refusal(error)) is None:
                raise
            print(f"error: {told}", file=sys.stderr)
            return USER_ERROR
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not OUT_OF_MEMORY.search(str(error)):
                raise
            print(f"error: out of memory ({one_line(error) or 'no more is said'}); ask for less", file=sys.stderr)
            return USER_ERROR
        except (KeyboardInterrupt, SystemExit) as error:
            # Lightning turns Ctrl+C during its fit into SystemExit.
            if isinstance(error, SystemExit) and not isinstance(error.__context__, KeyboardInterrupt):
                raise
            print("interrupted; the same command continues", file=sys.stderr)
            return INTERRUPTED

    return ended
