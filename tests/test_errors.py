"""How a verb ends: a mistake or an interruption in one line, its exit code, and help that is written for users."""

import errno
import importlib
import signal
import sys
import time
import weakref
from argparse import ArgumentError
from pathlib import Path

import pytest

from counterfeit import fit, review
from counterfeit.__main__ import VERBS
from counterfeit.errors import UserError, naming, verb


def test_a_message_written_over_several_lines_becomes_one():
    assert str(UserError("no images in photos;\n    set  --data.root\n")) == "no images in photos; set --data.root"


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (UserError("no images"), 2, "error: no images"),
        (ArgumentError(None, "unknown:\n  --rooot"), 2, "error: unknown: --rooot"),
        (KeyboardInterrupt(), 130, "interrupted; the same command continues"),
    ],
)
def test_a_verb_ends_in_one_line_and_its_code(raised, code, line, capsys):
    @verb
    def main(args=None):
        raise raised

    assert main([]) == code
    assert capsys.readouterr().err == line + "\n"


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (OSError(errno.ENOSPC, "full", "runs/a"), "runs/a: No space left on device; make room there"),
        (OSError(errno.EFBIG, "too large", b"runs/a"), "runs/a: File too large; make room there"),
        (PermissionError(errno.EACCES, "no", "runs/a"), "runs/a: Permission denied; allow it, or choose"),
        (OSError(errno.EROFS, "no", "runs/a"), "runs/a: Read-only file system; allow it, or choose"),
        (OSError(errno.ENAMETOOLONG, "no", "a" * 300), "File name too long; choose a shorter"),
        (OSError(errno.ENOSPC, "full"), "a file could not be written: No space left on device"),
        (PermissionError(errno.EACCES, "no"), "error: Permission denied; allow it"),
        (MemoryError("Unable to allocate\n9 TiB"), "out of memory (Unable to allocate 9 TiB)"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), "out of memory (DefaultCPUAllocator"),
    ],
)
def test_what_the_machine_refuses_is_one_line(raised, said, capsys):
    @verb
    def main():
        raise raised

    assert main() == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ") and said in line and line.count("\n") == 1


def test_a_missing_file_is_a_defect_and_goes_through():
    @verb
    def main():
        Path("nowhere/at/all").read_text()

    with pytest.raises(FileNotFoundError):
        main()


def test_what_is_being_written_is_named_where_the_system_does_not(tmp_path):
    for raised, name in (
        (OSError(errno.ENOSPC, "full"), "here"),
        (OSError(errno.ENOSPC, "full", "there"), "there"),
        (OSError(errno.EPIPE, "nothing of a file"), None),
    ):
        with pytest.raises(OSError) as caught, naming(Path("here")):
            raise raised
        assert caught.value.filename == name


def test_an_interruption_that_lightning_turned_into_an_exit_is_one():
    @verb
    def main():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)

    assert main() == 130


@pytest.mark.parametrize("raised", [SystemExit(0), ValueError("a defect"), RuntimeError("shapes differ")])
def test_help_and_defects_go_through(raised):
    @verb
    def main():
        raise raised

    with pytest.raises(type(raised)):
        main()


@pytest.mark.parametrize(
    ("main", "args", "said"),
    [
        (fit.main, ["--seeds", "3"], "--seeds: 3 is no list; write --seeds '[3]'"),
        (fit.main, ["--seeds", "[a]"], "--seeds: a is not a whole number"),
        (fit.main, ["--stages", "detector"], "--stages: detector is no list; write --stages '[detector]'"),
        (fit.main, ["--data.fractions", "0.5"], "write --data.fractions '[0.5, ...]'"),
        (fit.main, ["--data.preset", "wild"], "--data.preset: wild is none of none, light, strong"),
        (fit.main, ["--stages", "[detectors]"], "--stages: detectors is none of data, gan, synthesis, detector,"),
        (fit.main, ["--trainer.precision", "9"], "--trainer.precision: 9 is none of 64, 32, 16, "),
        (review.main, ["scores", "--reviewers", "anna"], "write --reviewers '[anna]'"),
    ],
)
def test_a_value_of_another_kind_is_told_with_what_is_expected(main, args, said, capsys):
    assert main(args) == 2
    line = capsys.readouterr().err
    assert said in line and line.count("\n") == 1 and "Expected" not in line


def test_where_a_class_would_do_too_jsonargparse_is_quoted(capsys):
    assert fit.main(["--trainer.logger", "Nobody"]) == 2
    assert "loggers.logger.Logger" in capsys.readouterr().err


@pytest.mark.parametrize("name", VERBS)
def test_help_names_the_command_and_is_no_note_of_its_developers(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        importlib.import_module(f"counterfeit.{name}").main(["--help"])
    said = capsys.readouterr().out
    assert said.startswith(f"usage: python -m counterfeit.{name} ")
    assert "Parses" not in said


@pytest.mark.parametrize(
    ("name", "step", "args"),
    [
        ("export", "counterfeit.export.read_card", ["--run", "RUN", "--out", "RUN/out"]),
        ("review", "counterfeit.review.command.read_scored", ["RUN"]),
    ],
)
def test_ctrl_c_during_the_work_is_130(name, step, args, tmp_path, monkeypatch, capsys):
    main = importlib.import_module(f"counterfeit.{name}").main
    monkeypatch.setattr(step, lambda *given: signal.raise_signal(signal.SIGINT))
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell's & began the tests
    try:
        assert main([arg.replace("RUN", str(tmp_path)) for arg in args]) == 130
    finally:
        signal.signal(signal.SIGINT, previous)
    assert capsys.readouterr().err == "interrupted; the same command continues\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("finaliser", [True, False], ids=["in __del__", "in a callback of a weak reference"])
def test_a_signal_where_exceptions_are_forgotten_stops_all_the_same(number, code, finaliser, monkeypatch, capsys):
    reached = []

    class Held:
        def __del__(self):
            if finaliser:
                signal.raise_signal(number)

    def work(args):
        held = Held()
        noticed = weakref.ref(held, None if finaliser else lambda _: signal.raise_signal(number))
        del held
        reached.append(noticed)  # what was raised has been forgotten
        time.sleep(20)
        return 0

    monkeypatch.setattr(fit, "_fit", work)
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell's & began the tests
    try:
        assert fit.main([]) == code
    finally:
        signal.signal(signal.SIGINT, previous)
    assert reached and capsys.readouterr().err.count("\n") == 1


def test_clean_up_that_takes_its_time_is_not_cut_short(monkeypatch):
    cleaned = []

    def work(args):
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            time.sleep(0.5)
            cleaned.append(True)

    monkeypatch.setattr(fit, "_fit", work)
    assert fit.main([]) == 143
    assert cleaned
