"""Making the server send a command: a program of the user's does it."""

import asyncio
from collections.abc import Sequence
from time import perf_counter

from teltonika.emulator.programs import outputs
from teltonika.emulator.scenario.expectations import Asked

AT_ONCE = 8
"""Programs that run at a time."""
LIMIT_S = 60.0
"""For one program."""
_SAID = 200  # characters of what a program complained of


async def ask(words: Sequence[str], imeis: Sequence[str]) -> list[Asked]:
    """Run the program once for each device, ``{imei}`` in its words replaced: it is to end with 0
    once the device has answered."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(imei: str) -> Asked:
        async with free:
            began = perf_counter()
            trouble = await _run([word.replace("{imei}", imei) for word in words])
            return Asked(imei, perf_counter() - began, trouble)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(imei)) for imei in imeis]
    return [task.result() for task in tasks]


async def _run(words: Sequence[str]) -> str:
    """What went wrong; empty if nothing."""
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except (OSError, ValueError) as error:
        return f"cannot run {words[0]!r}: {error}"
    try:
        async with asyncio.timeout(LIMIT_S):
            _, said = await outputs(process)
    except TimeoutError:
        return f"{words[0]} did not end within {LIMIT_S:g} s"
    if process.returncode == 0:
        return ""
    complaint = " ".join(said.decode(errors="replace").split())[:_SAID]
    return f"{words[0]} ended with {process.returncode}: {complaint}"
