"""Commands that look at a Redis which takes connections and answers nothing any more."""

import signal
import subprocess

import pytest
from own_valkey import OwnValkey
from serving import IMEI, TELTONIKA

LOOKS = {
    "top": ("top", "--once"),
    "top as JSON": ("top", "--json"),
    "devices": ("devices",),
    "lag": ("lag",),
    "send": ("send", IMEI, "getver"),
    "tail": ("tail", "--since", "1h"),
    "trace": ("trace",),
    "trace of a device": ("trace", IMEI),
    "trace that follows": ("trace", IMEI, "--follow"),
}
GIVEN_UP_S = 25.0
"""For a command as a process, on a busy machine: each says that it waits for 5 s."""


@pytest.mark.parametrize("arguments", LOOKS.values(), ids=LOOKS)
def test_a_command_says_so_in_one_sentence_and_ends(
    arguments: tuple[str, ...], valkey: OwnValkey
) -> None:
    valkey.start().close()
    valkey.signal(signal.SIGSTOP)
    try:
        ended = subprocess.run(
            [TELTONIKA, *arguments, "--redis", valkey.url],
            capture_output=True,
            text=True,
            timeout=GIVEN_UP_S,
            check=False,
        )
    finally:
        valkey.signal(signal.SIGCONT)
    assert ended.returncode == 1
    assert ended.stdout == ""
    (sentence,) = ended.stderr.splitlines()
    assert sentence.startswith("teltonika: Redis: "), sentence
