"""A folder to write: checked before the work, and afterwards there as a whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from counterfeit.errors import UserError


def check_free(folder: Path, option: str = "--out", in_place: bool = False) -> None:
    """Before the work: that the folder is empty or absent, and that something can be written beside it.

    Args:
        folder: to be written.
        option: that named it, for the message.
        in_place: whether it is written into, and not put there as a whole.

    Raises:
        UserError: it is not.
    """
    with writing(folder, option):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{option} {folder} exists and is not an empty folder; choose another one")
        if not in_place and folder.resolve() == Path.cwd():
            raise UserError(f"{option} {folder} is the folder you are in, and would be replaced; name another one")
        places = (folder.absolute(), *folder.absolute().parents)
        above = next(path for path in places[0 if in_place else 1 :] if path.exists())
        # Tried, as permissions do not tell all: root may write everywhere, but not to a disk that is read-only.
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=above):
            pass


@contextmanager
def draft(folder: Path, option: str = "--out") -> Iterator[Path]:
    """A hidden folder that becomes ``folder`` if all went well, else vanishes; arguments as of :func:`check_free`."""
    with writing(folder, option):
        folder.parent.mkdir(parents=True, exist_ok=True)
        hidden = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            hidden.chmod(0o755)
            yield hidden
            os.replace(hidden, folder)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)


@contextmanager
def writing(folder: Path, option: str = "--out") -> Iterator[None]:
    """What the system refuses is the user's to mend, ``UserError``: another folder, an emptier disk."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {option} {folder}: {error.strerror or error}") from error
