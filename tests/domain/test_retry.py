import pytest

from shared.domain.retry import CAP_S, MAX_ATTEMPTS, Again, Over, after_failure


@pytest.mark.parametrize(
    ("attempts", "chance", "expected"),
    [
        (1, 1.0, Again(2.0)),
        (1, 0.0, Again(1.0)),
        (2, 1.0, Again(8.0)),
        (2, 0.5, Again(6.0)),
        (3, 1.0, Again(32.0)),
        (MAX_ATTEMPTS - 1, 0.0, Again(16.0)),
        (MAX_ATTEMPTS, 0.0, Over()),
        (MAX_ATTEMPTS + 1, 1.0, Over()),
    ],
)
def test_after_failure(attempts, chance, expected):
    assert after_failure(attempts, chance) == expected


def test_a_wait_is_capped():
    assert after_failure(3, 1.0, base_s=1_000.0) == Again(CAP_S)
