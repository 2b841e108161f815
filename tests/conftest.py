"""What holds for every test."""

import os

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
