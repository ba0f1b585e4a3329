"""How a verb ends: a mistake or an interruption in one line, its exit code, and help that is written for users."""

import importlib
import signal
import sys
from argparse import ArgumentError

import pytest

from counterfeit import fit, review
from counterfeit.__main__ import VERBS
from counterfeit.errors import UserError, verb


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


def test_an_interruption_that_lightning_turned_into_an_exit_is_one():
    @verb
    def main():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)

    assert main() == 130


@pytest.mark.parametrize("raised", [SystemExit(0), ValueError("a defect")])
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
    assert main([arg.replace("RUN", str(tmp_path)) for arg in args]) == 130
    assert capsys.readouterr().err == "interrupted; the same command continues\n"
