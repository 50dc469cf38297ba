"""`python -m local.emulated.leash COMMAND...`: a program of others, ended with the supervisor.

Other people's programs do not know our lifeline: after kill -9 of the supervisor they would
run for ever. This small process holds the lifeline for them.
"""

import signal
import subprocess
import sys
from types import FrameType

from local import lifeline


def main() -> None:
    """Run the command in our own process group; SIGTERM reaches it, its status is ours."""
    lifeline.follow()
    child = subprocess.Popen(sys.argv[1:])

    def pass_on(number: int, _: FrameType | None) -> None:
        child.send_signal(number)

    signal.signal(signal.SIGTERM, pass_on)
    status = child.wait()
    lifeline.end_what_is_left()
    # A program that was ended by the signal we passed on has ended as it was asked to.
    sys.exit(0 if status == -signal.SIGTERM else abs(status))


if __name__ == "__main__":
    main()
