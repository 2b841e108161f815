"""Structured logs to standard error: for a person, or one JSON object a line.

Nothing that goes wrong with a line reaches the code that logs it. It is rendered at once, so that
values are as they were, and written by the thread of a `QueuedStream`. A line that can't be
rendered, queued or written is dropped and counted.
"""

import atexit
import contextvars
import logging
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum

import structlog

from teltonika.codecs.printable import printable
from teltonika.server.queued_stream import QueuedStream


class LogFormat(StrEnum):
    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class _Output:
    """Where the process's log goes, once it is configured."""

    stream: QueuedStream | None = None


def configure_logs(log_format: LogFormat, level: LogLevel) -> QueuedStream:
    """Set the process's logs up: ours, and through them the standard library's (asyncio).

    What is bound to the context by now stands in the line that reports dropped ones, too. Returns
    the stream that the lines go through.
    """
    stream = _output_to_standard_error()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render: list[structlog.typing.Processor]
    if log_format is LogFormat.JSON:
        render = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        console = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            pad_event_to=22,
            exception_formatter=structlog.dev.plain_traceback,  # rich shows locals: passwords
        )
        render = [_harmless, console]
    structlog.configure(
        processors=[_Rendering([*shared, *render], stream)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=lambda *_: _LineLogger(stream),
        cache_logger_on_first_use=True,
    )
    stream.report = _report(_Rendering([*shared, *render], stream), contextvars.copy_context())
    handler = _Handler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    return stream


def lines_dropped() -> int:
    """Lines of this process's log that could not be rendered, queued or written."""
    return 0 if _Output.stream is None else _Output.stream.lines_dropped


def _output_to_standard_error() -> QueuedStream:
    old = _Output.stream
    if isinstance(sys.stderr, QueuedStream):  # as it is in a command
        _Output.stream = sys.stderr
    else:
        _Output.stream = QueuedStream(sys.stderr)
        atexit.register(_Output.stream.finish)
    if old is not None and old is not sys.stderr:
        atexit.unregister(old.finish)
        old.finish()
    return _Output.stream


class _Rendering:
    """All processors in one: if one of them fails, only this line is lost."""

    def __init__(
        self, processors: Sequence[structlog.typing.Processor], stream: QueuedStream
    ) -> None:
        self._processors = processors
        self._stream = stream

    def __call__(
        self,
        logger: structlog.typing.WrappedLogger,
        method: str,
        line: structlog.typing.EventDict,
    ) -> structlog.typing.ProcessorReturnValue:
        found: structlog.typing.ProcessorReturnValue = line
        try:
            for processor in self._processors:
                found = processor(logger, method, found)  # type: ignore[arg-type]  # as structlog
        except Exception as error:
            self._stream.drop(1, f"{type(error).__name__}: {error}")
            raise structlog.DropEvent from None
        return found


class _LineLogger:
    """What structlog hands a rendered line to; each level is a method of it."""

    def __init__(self, stream: QueuedStream) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        self._stream.write(line + "\n")

    log = debug = info = warning = error = critical = exception = msg


class _Handler(logging.StreamHandler[QueuedStream]):
    """For the standard library's lines."""

    def flush(self) -> None:
        """Nobody waits for a line."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - its name there
        error = sys.exc_info()[1]
        self.stream.drop(1, f"{type(error).__name__}: {error}")


def _report(
    render: structlog.typing.Processor, context: contextvars.Context
) -> Callable[[int, str], str]:
    def report(lines: int, reason: str) -> str:
        line = {"event": "log_lines_dropped", "lines": lines, "reason": reason}
        return str(context.run(render, None, "warning", line))

    return report


class _Quoted:
    """Text that is shown as Python writes it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return repr(self._text)


def _harmless(
    _: structlog.typing.WrappedLogger, __: str, line: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """What a device says may be in a line: a terminal is not to obey it."""
    for name, value in line.items():
        if isinstance(value, str) and not value.isprintable():
            line[name] = printable(value) if name == "event" else _Quoted(value)
    return line
