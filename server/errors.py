"""What keeps the server from running: said to the operator in one sentence.

ServerError
├── DataDirectoryBusyError   another server works in this data directory
├── EmbeddedRedisError       the embedded Valkey does not start, or does not end
├── InvalidRedisUrlError     not a URL that leads to a Redis
├── RedisUnavailableError    the Redis that was named does not answer
├── RedisRefusedError        it refuses a command, and waiting does not help
├── WeakRedisError           it cannot keep what the server is to promise
├── WrongShardsError         the telemetry is in another number of shards
├── ListenError              the port cannot be listened on
├── SupersededError          another process has this instance's id now
└── WorkerError              a worker does not start, or does not drain
"""


class ServerError(Exception):
    """The root. The message is a whole sentence for the person who started the server."""


class DataDirectoryBusyError(ServerError):
    pass


class EmbeddedRedisError(ServerError):
    pass


class InvalidRedisUrlError(ServerError):
    pass


class RedisUnavailableError(ServerError):
    pass


class RedisRefusedError(ServerError):
    pass


class WeakRedisError(ServerError):
    pass


class WrongShardsError(ServerError):
    pass


class ListenError(ServerError):
    pass


class SupersededError(ServerError):
    pass


class WorkerError(ServerError):
    pass
