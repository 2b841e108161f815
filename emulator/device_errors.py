"""What can go wrong between a `Device` and the server that a test looks at.

DeviceError
├── NotConnectedError    there is no connection: none was made, or it has ended
├── ImeiRejectedError    the server does not take this device's records
├── NoAnswerError        no answer to the IMEI, no ACK, no command in time
└── WrongAckError        an ACK of another number of records than were sent

NoAnswerError is a TimeoutError, too.
"""

from teltonika.codecs import TeltonikaError


class DeviceError(TeltonikaError):
    """The sentence names the device and the server's address."""


class NotConnectedError(DeviceError):
    """There is no connection: none could be made, or it has ended."""


class ImeiRejectedError(DeviceError):
    """The server answered the IMEI with 00."""


class NoAnswerError(DeviceError, TimeoutError):
    """The server said nothing in time."""


class WrongAckError(DeviceError):
    """The server acknowledged another number of records than the packet had."""

    def __init__(self, sentence: str, expected: int, found: int) -> None:
        super().__init__(sentence)
        self.expected = expected
        self.found = found
