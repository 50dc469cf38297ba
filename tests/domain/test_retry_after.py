"""What a Retry-After header says, however it says it."""

import pytest

from shared.domain.retry_after import retry_after_s

SENT = "Fri, 31 Dec 1999 23:59:50 GMT"


@pytest.mark.parametrize(
    ("retry_after", "date", "seconds"),
    [
        ("7", None, 7.0),
        (" 0 ", SENT, 0.0),
        ("0.5", None, 0.5),
        ("9" * 9, None, 999_999_999.0),
        ("9" * 10, None, None),
        ("-1", None, None),
        ("\u0667", None, None),
        ("Fri, 31 Dec 1999 23:59:59 GMT", SENT, 9.0),
        ("Sat, 01 Jan 2000 00:59:59 +0100", SENT, 9.0),
        ("Fri, 31 Dec 1999 23:59:59 -0000", SENT, 9.0),
        ("Fri, 31 Dec 1999 23:59:00 GMT", SENT, 0.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", None, None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", SENT, None),
        ("Fri, 31 Dec 1999 23:59:59 +9999", SENT, None),
        ("soon", SENT, None),
        ("", SENT, None),
        (None, None, None),
    ],
)
def test_seconds_of_a_retry_after_header(retry_after, date, seconds):
    assert retry_after_s(retry_after, date) == seconds
