"""What holds for every test."""

import os
import signal

from hypothesis import HealthCheck, settings

# How long an example takes says more about the machine than about the code. In CI the examples
# are the same in each run, so that a failure there is a change's own.
settings.register_profile(
    "project",
    deadline=None,
    derandomize="CI" in os.environ,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("project")

# A shell's background jobs ignore Ctrl-C, and what they start does, too: the commands that tests
# start and interrupt must not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
