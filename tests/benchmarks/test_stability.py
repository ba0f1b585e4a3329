"""The table of trainings: what is counted as healthy, and when."""

import json

from benchmarks.stability import SHOWN, table
from counterfeit.experiment.folder import RunFolder


def test_restarts_and_failures_are_told_apart_and_reasons_are_shown(tmp_path):
    folder = RunFolder(tmp_path)
    ends = [(0, True, None), (0, True, None), (2, True, None), (2, False, "collapsed: refined images differ by 3 %")]
    for seed, (attempt, healthy, reason) in enumerate(ends):
        folder.gan(seed).mkdir(parents=True)
        done = {"attempt": attempt, "healthy": healthy, "reason": reason}
        (folder.gan(seed) / "done.json").write_text(json.dumps(done))
        rows = [",".join(SHOWN), ",".join("9" * len(SHOWN)), ",".join(str(seed) for _ in SHOWN)]
        (folder.gan(seed) / "metrics.csv").write_text("\n".join(rows))
    lines = table(folder, range(4)).splitlines()
    assert "| healthy at once | 2 of 4 | 50 [7, 93] |" in lines
    assert "| healthy after a restart | 1 of 4 | 25 [1, 81] |" in lines
    assert "| failed, reported and not used | 1 of 4 | 25 [1, 81] |" in lines
    assert "- seed 3: collapsed: refined images differ by 3 %" in lines
    assert "| spread | 0 | 3 |" in lines  # the last row of each
