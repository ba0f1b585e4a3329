"""``python -m counterfeit.review``: the moderators' page on a scores folder.

python -m counterfeit.review scores/            opens the page and prints a link for each reviewer
python -m counterfeit.review link scores/       prints another link while the page is open
python -m counterfeit.review export scores/     writes the decisions as training data
python -m counterfeit.review verify scores/     checks the audit log
"""

import getpass
import ipaddress
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import jsonargparse

from counterfeit.errors import DONE, NOT_SOUND, UserError
from counterfeit.options import Parser
from counterfeit.review.audit import append, head
from counterfeit.review.database import Database
from counterfeit.review.fill import FILE, Policy
from counterfeit.review.scored import read_scored

PASSWORD = "COUNTERFEIT_REVIEW_PASSWORD"
SHORTEST = 12  # characters of a password


def run(args: Sequence[str] | None = None) -> int:
    """Run the verb that comes first, or open the page."""
    words = list(sys.argv[1:] if args is None else args)
    verbs: dict[str, Callable[..., int]] = {"link": link, "export": export, "verify": verify}
    verb = verbs.get(words[0]) if words else None
    code: int = jsonargparse.auto_cli(
        verb or serve,
        args=words[1:] if verb else words,
        as_positional=True,
        exit_on_error=False,
        parser_class=Parser,
        prog=" ".join(["python -m counterfeit.review", *(words[:1] if verb else [])]),
    )
    return code


def serve(
    scores: Path,
    reviewers: list[str] | None = None,
    host: str = "127.0.0.1",
    port: int = 8340,
    capacity: int = 200,
    gold: float = 0.03,
    double: float = 0.1,
    run: Path | None = None,
    address: str | None = None,
) -> int:
    """Open the moderators' page. The verbs link, export and verify, before the folder, have a --help of their own.

    Args:
        scores: folder that python -m counterfeit.predict wrote.
        reviewers: their names; yours if none are given. With two or more, second opinions are asked for.
        host: address to listen on; any other than this machine's own needs a password in COUNTERFEIT_REVIEW_PASSWORD.
        port: to listen on; 0 takes a free one.
        capacity: decisions that all reviewers make a day.
        gold: hidden items of known label, as a share of the scored ones; counts at the first opening.
        double: share of the items that two reviewers see, whatever the first says; counts at the first opening.
        run: where the run folder is now, if it was moved.
        address: under which reviewers reach the page, such as https://review.example, where a proxy stands before it.
    """
    if not 0 <= port < 2**16:
        raise UserError(f"--port {port}: choose one from 0 to 65535")
    password = os.environ.get(PASSWORD)
    local = _is_local(host)
    if not local and not password:
        raise UserError(f"--host {host} can be reached from other machines: set a password in {PASSWORD} first")
    if password is not None and len(password) < SHORTEST:
        raise UserError(f"the password in {PASSWORD} is too short: use {SHORTEST} characters or more")
    try:
        from counterfeit.review.server import Place, serve_desk
    except ImportError as error:
        raise UserError(f"the page needs {error.name}: pip install 'counterfeit[review]'") from error
    policy = Policy([_own_name()] if reviewers is None else reviewers, capacity, gold, double)
    return serve_desk(read_scored(scores, run), policy, Place(host, port, local, address), password)


def link(scores: Path, reviewer: str | None = None) -> int:
    """Print another one-time link to a page that is open.

    Args:
        scores: folder that is being reviewed.
        reviewer: one of the names given at the start; the only one if none is given.
    """
    from counterfeit.review.access import issue_token

    db = Database(scores / FILE)
    names = (db.get("reviewers") or "").split("\n")
    name = reviewer or (names[0] if len(names) == 1 else None)
    if name not in names:
        raise UserError(f"--reviewer: choose one of {', '.join(names)}")
    print(f"{db.get('address')}/enter?token={issue_token(db, str(name))}")
    return DONE


def export(scores: Path, out: Path | None = None, photographs: Path | None = None, run: Path | None = None) -> int:
    """Write the decisions as training data.

    Args:
        scores: folder that was reviewed.
        out: manifest to write, .csv or .parquet; decisions.csv in the scores folder if none.
        photographs: folder to write instead, with copies of the run's photographs and of the decided ones: new
            training data for --data.root.
        run: where the run folder is now, if it was moved.
    """
    from counterfeit.review.export import decided, write_manifest, write_photographs
    from counterfeit.review.known import photographs_root
    from counterfeit.review.pictures import Pictures

    scored = read_scored(scores, run)
    db = Database(scores / FILE)
    rows = decided(db.reading())
    if photographs is not None:
        root = photographs_root(scored.run) if scored.run else None
        if scored.run is None:
            raise UserError(f"{scored.card.folder} is no longer the run that made the scores: name it with --run")
        if root is None:
            raise UserError(
                f"the photographs of {scored.run} are not where its config.yaml says: put them there,"
                " or, where another copy of the run knows better, name it with --run"
            )
        done = write_photographs(rows, Pictures(scored.root), scored.run, Pictures(root), photographs)
        options = ["--data.root", str(photographs)]
    else:
        done = write_manifest(rows, out or scores / "decisions.csv")
        options = ["--data.root", str(scored.root), "--data.manifest", str(done.path)]
    with db.writing() as writing:
        append(writing, "exported", None, None, {"to": str(done.path), "rows": done.genuine + done.counterfeit})
    print(f"{done.path}: {done.genuine} genuine, {done.counterfeit} counterfeit, decided here")
    if done.known:
        print(f"known photographs of {scored.run}: {done.known} copied")
    if done.known_left_out:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(done.known_left_out.items()))
        print(f"known photographs left out: {sum(done.known_left_out.values())} ({reasons})")
    if done.left_out:
        print(f"left out: {done.left_out}, whose name does not fit into a CSV or whose file is gone or changed")
    print(f"next: python -m counterfeit.fit {shlex.join(options)}")
    return DONE


def verify(scores: Path, head_hash: str | None = None) -> int:
    """Check the audit log, and that the decisions are what it says.

    Args:
        scores: folder that was reviewed.
        head_hash: hash noted earlier; the log must still contain it.
    """
    from counterfeit.review.verify import faults

    db = Database(scores / FILE).reading()
    found = faults(db, head_hash)
    for fault in found:
        print(fault, file=sys.stderr)
    number, digest = head(db)
    print(f"{number} events, {'NOT SOUND' if found else 'sound'}; last hash {digest}")
    return NOT_SOUND if found else DONE


def _own_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError) as error:  # by version and system: a user without an entry in passwd
        raise UserError("this user has no name: say who reviews, --reviewers '[anna]'") from error


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
