import pytest

from shared.domain.lanes import LOW_FIRST_EVERY, Candidate, Lane, lease_order, rank
from shared.domain.tenants import Tier
from shared.domain.wishes import Wishes


def candidate(**changes):
    fields = {
        "path": "talk.wav",
        "tier": Tier.FREE,
        "wishes": Wishes(),
        "seconds": 10.0,
        "burst_left": 30,
    }
    return Candidate(**fields | changes)


@pytest.mark.parametrize(
    ("changes", "lane", "rule"),
    [
        pytest.param({}, Lane.LOW, "everything_else", id="free"),
        pytest.param(
            {"path": "bulk/a.wav", "tier": Tier.ENTERPRISE}, Lane.LOW, "bulk", id="folder"
        ),
        pytest.param(
            {"path": "x/bulk/a.wav", "tier": Tier.ENTERPRISE}, Lane.LOW, "bulk", id="deep"
        ),
        pytest.param(
            {"path": "bulk", "tier": Tier.ENTERPRISE}, Lane.HIGH, "enterprise", id="file named bulk"
        ),
        pytest.param(
            {"path": "bulky/a.wav", "tier": Tier.ENTERPRISE}, Lane.HIGH, "enterprise", id="bulky"
        ),
        pytest.param(
            {"wishes": Wishes(bulk=True), "tier": Tier.ENTERPRISE}, Lane.LOW, "bulk", id="metadata"
        ),
        pytest.param(
            {"wishes": Wishes(replay=True), "tier": Tier.ENTERPRISE},
            Lane.LOW,
            "replay",
            id="replay",
        ),
        pytest.param({"tier": Tier.ENTERPRISE}, Lane.HIGH, "enterprise", id="enterprise"),
        pytest.param({"realtime": True}, Lane.HIGH, "realtime", id="realtime"),
        pytest.param({"tier": Tier.PRO, "seconds": 60.0}, Lane.HIGH, "pro_short", id="pro 60 s"),
        pytest.param(
            {"tier": Tier.PRO, "seconds": 60.1}, Lane.LOW, "everything_else", id="pro 60.1 s"
        ),
        pytest.param(
            {"tier": Tier.PRO, "seconds": None}, Lane.LOW, "everything_else", id="pro unknown"
        ),
        pytest.param(
            {"tier": Tier.PRO, "burst_left": 1}, Lane.HIGH, "pro_short", id="last of burst"
        ),
        pytest.param(
            {"tier": Tier.PRO, "burst_left": 0}, Lane.LOW, "everything_else", id="burst over"
        ),
    ],
)
def test_rank(changes, lane, rule):
    ranking = rank(candidate(**changes))

    assert (ranking.lane, ranking.rule) == (lane, rule)


def test_the_low_lane_is_looked_at_first_in_one_turn_of_twenty():
    firsts = [lease_order(turn)[0] for turn in range(10 * LOW_FIRST_EVERY)]

    assert firsts.count(Lane.LOW) / len(firsts) >= 0.05
    assert all(set(lease_order(turn)) == set(Lane) for turn in range(LOW_FIRST_EVERY))
