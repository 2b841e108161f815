"""The digital outputs of a device: switches in the car that a command sets."""


class DigitalOutput:
    """One output, off at first. `tick` ends what was set for a time only.

    Times are Unix, in ms, and never the output's own: the caller says what time it is.
    """

    __slots__ = ("_lasting_level", "_until_ms", "level", "timeout_s")

    def __init__(self) -> None:
        self.switch_off()

    def switch_off(self) -> None:
        """As after a start of the device."""
        self.level = 0
        """0 or 1, now."""
        self.timeout_s = 0
        """The time limit that the level was set with; 0 where it has none."""
        self._lasting_level = 0  # what follows a time limit
        self._until_ms = 0

    def set(self, level: int, timeout_s: int, now_ms: int) -> None:
        """Switch to ``level``: for ``timeout_s``, or, with 0, until the next command.

        After a time limit comes the last level that was set without one, so that the same command
        twice does not keep it.
        """
        self.level = level
        self.timeout_s = timeout_s
        if timeout_s:
            self._until_ms = now_ms + timeout_s * 1000
        else:
            self._lasting_level = level

    def tick(self, now_ms: int) -> None:
        """It is ``now_ms``."""
        if self.timeout_s and now_ms >= self._until_ms:
            self.level = self._lasting_level
            self.timeout_s = 0
