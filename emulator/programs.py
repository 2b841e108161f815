"""Other programs, that end when who waits for them does."""

from asyncio.subprocess import Process


async def outputs(process: Process) -> tuple[bytes, bytes]:
    """What it said until its end, on standard output and error, where those are pipes.

    It is killed where that is not waited for to the end.
    """
    try:
        return await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
