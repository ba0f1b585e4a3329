"""A user's mistake is told in one line."""

from counterfeit.errors import UserError


def test_a_message_written_over_several_lines_becomes_one():
    assert str(UserError("no images in photos;\n    set  --data.root\n")) == "no images in photos; set --data.root"
