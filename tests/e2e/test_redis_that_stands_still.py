"""Commands that look at a Redis which takes connections and answers nothing any more."""

import signal
import subprocess
from contextlib import ExitStack

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
GIVEN_UP_S = 60.0
"""For all of them at once, on a busy machine: each says that it waits for 5 s."""


def test_every_command_says_so_in_one_sentence_and_ends(valkey: OwnValkey) -> None:
    valkey.start().close()
    valkey.signal(signal.SIGSTOP)
    with ExitStack() as stack:
        stack.callback(valkey.signal, signal.SIGCONT)
        waiting = {
            name: stack.enter_context(
                subprocess.Popen(
                    [TELTONIKA, *arguments, "--redis", valkey.url],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for name, arguments in LOOKS.items()
        }
        for process in waiting.values():
            stack.callback(process.kill)
        for name, process in waiting.items():
            said, complaints = process.communicate(timeout=GIVEN_UP_S)
            assert (process.returncode, said) == (1, ""), name
            (sentence,) = complaints.splitlines()
            assert sentence.startswith("teltonika: Redis: "), (name, sentence)
