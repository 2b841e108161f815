"""How much is told of traced devices in a second, so that watching one costs the others nothing."""

MAX_FRAMES_OF_ONE = 50
"""Of one device, in a second."""
MAX_FRAMES = 200
MAX_BYTES = 262_144
"""Of all frames that are told: what is decoded again for it, a few hundredths of a second."""


class TraceLimits:
    """`may_tell` asks before a frame is told; `turn` begins the next second."""

    def __init__(self) -> None:
        self._frames: dict[str, int] = {}
        self._left_out: dict[str, int] = {}
        self._told = 0
        self._bytes = 0

    def may_tell(self, imei: str, size: int) -> bool:
        frames = self._frames[imei] = self._frames.get(imei, 0) + 1
        if frames > MAX_FRAMES_OF_ONE or self._told >= MAX_FRAMES or self._bytes + size > MAX_BYTES:
            self._left_out[imei] = self._left_out.get(imei, 0) + 1
            return False
        self._told += 1
        self._bytes += size
        return True

    def turn(self) -> dict[str, int]:
        """How many frames of which device were left out in the second that is over."""
        left_out, self._left_out = self._left_out, {}
        self._frames.clear()
        self._told = self._bytes = 0
        return left_out
