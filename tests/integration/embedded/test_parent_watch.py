import os
import signal
import subprocess
import sys

import pytest

WATCHED = """
import signal, sys, time
from tokenkeep.adapters.embedded.parent_watch import watch_parent
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
watch_parent(int(sys.argv[1]), grace_s=0.2)
print("watching", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(("hearing", "status"), [("good", -signal.SIGTERM), ("deaf", 1)])
def test_a_child_ends_when_its_parent_s_pipe_closes(hearing: str, status: int) -> None:
    reading_end, writing_end = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", WATCHED, str(reading_end), hearing], pass_fds=[reading_end], stdout=subprocess.PIPE
    ) as child:
        os.close(reading_end)
        assert child.stdout is not None
        assert child.stdout.readline() == b"watching\n"
        assert child.poll() is None

        os.close(writing_end)

        assert child.wait(10) == status
