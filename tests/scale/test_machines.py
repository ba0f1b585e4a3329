"""A real cluster of two machines, both of which are this one: one of them is lost."""

from pathlib import Path

import pytest

from counterfeit.data.listing import read_listing
from counterfeit.detector import stream
from counterfeit.detector.card import read_card
from counterfeit.detector.engine import pack_engine
from counterfeit.detector.scorer import BATCH
from counterfeit.scale import connected, score_listing_on, scoring
from tests.detector.test_stream import draw
from tests.review.made_run import make_run
from tests.scale.slow_worker import SlowWorker, lost_parts

clusters = pytest.importorskip("ray.cluster_utils", reason="needs Ray: pip install -e '.[scale]'")
pytestmark = pytest.mark.slow


@pytest.fixture
def machines():
    made = clusters.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    yield made
    made.shutdown()


def test_a_machine_that_is_lost_leaves_its_parts_to_the_others(
    machines: "clusters.Cluster", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, write, removed = machines.add_node(num_cpus=1), stream.Shards.write, []
    for module in (stream, scoring):
        monkeypatch.setattr(module, "SHARD", BATCH)
    monkeypatch.setattr(scoring, "Worker", SlowWorker)
    lost = lost_parts(monkeypatch)
    packed = pack_engine(read_card(make_run(tmp_path)), "auto")
    listing = read_listing(draw(tmp_path / "photographs", 8 * BATCH))

    def write_and_lose(self, number, rows):
        write(self, number, rows)
        if not removed:
            removed.append(number)
            machines.remove_node(other, allow_graceful=False)

    monkeypatch.setattr(stream.Shards, "write", write_and_lose)
    with connected(machines.address):
        cache = str(tmp_path / "cache")
        counts = score_listing_on(packed, listing, tmp_path / "out", cache, None, show=False)
    assert removed
    assert lost
    assert counts["ok"] == counts["inputs"] == 8 * BATCH
