"""`/healthz` and `/readyz` of a running server."""

import signal
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from own_valkey import OwnValkey
from scraping import ask, scrape
from serving import BareDevice, ServerProcess

StartServer = Callable[..., ServerProcess]


@pytest.fixture
def metered(start_server: StartServer, valkey: OwnValkey) -> ServerProcess:
    """With a Redis of its own."""
    valkey.start().close()
    return start_server("--metrics", "0", redis_url=valkey.url)


def test_a_server_that_takes_records_is_healthy_and_ready(metered: ServerProcess) -> None:
    assert ask(metered, "/healthz") == ask(metered, "/readyz") == (200, "ok\n")


def test_without_redis_it_is_healthy_and_not_ready_and_ready_once_redis_is_back(
    metered: ServerProcess, valkey: OwnValkey
) -> None:
    valkey.kill()
    status, why = ask(metered, "/readyz")
    assert status == 503
    assert why.startswith("Redis does not answer: ")
    assert len(why.splitlines()) == 1
    assert ask(metered, "/healthz") == (200, "ok\n")
    assert scrape(metered).value("teltonika_draining") == 0
    valkey.start().close()
    assert ask(metered, "/readyz") == (200, "ok\n")


def test_a_redis_that_stands_still_is_not_waited_for(
    metered: ServerProcess, valkey: OwnValkey
) -> None:
    valkey.signal(signal.SIGSTOP)
    assert ask(metered, "/readyz") == (503, "Redis does not answer: nothing in 2 s\n")
    valkey.signal(signal.SIGCONT)
    assert ask(metered, "/readyz") == (200, "ok\n")


def test_while_it_drains_it_is_not_ready_and_its_metrics_are_there(
    metered: ServerProcess,
) -> None:
    with ExitStack() as stack:
        device = stack.enter_context(BareDevice(metered.port))
        metered.publish("last")
        command = device.command()  # the drain waits for its answer
        metered.process.send_signal(signal.SIGTERM)
        metered.wait_for_log("draining")
        assert ask(metered, "/readyz") == (503, "the server stops: it drains\n")
        assert ask(metered, "/healthz") == (200, "ok\n")
        page = scrape(metered)
        assert page.value("teltonika_draining") == 1
        assert page.value("teltonika_queue_depth", queue="commands") == 1
        device.answer(command)
        assert device.closed_by_server()
    assert metered.process.wait(timeout=30) == 0
