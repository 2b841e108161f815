"""The queue in front of the publisher: order for each submitter, turns between them."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from teltonika.server.submissions import (
    ALONE,
    LARGE_BYTES,
    MAX_BATCH_BYTES_OF_MUCH,
    SUBMISSION_BYTES,
    TURN_BYTES,
    Submission,
    SubmissionQueue,
)


class Device:
    """Submits packets, and keeps its newest, as the publisher does for it."""

    connection = b""
    ended = False

    def __init__(self, queue: SubmissionQueue) -> None:
        self._queue = queue
        self._newest: Submission | None = None
        self._number = 0

    def submit(self, size: int = 500) -> None:
        self._number += 1
        command = bytes(size - SUBMISSION_BYTES)
        submission = Submission(self, command, 1, float(self._number), self._number, self._newest)
        self._queue.add(submission, self._newest)
        self._newest = submission

    def confirm(self) -> None:
        """Nothing of it is unconfirmed any more."""
        self._newest = None

    def current(self) -> None: ...

    def superseded(self) -> None: ...

    def confirmed(self, record_count: int, size: int, read_at: float) -> None: ...


def numbers_of(device: Device, taken: Sequence[Submission]) -> list[int]:
    return [one.number for one in taken if one.submitter is device]


def test_a_device_with_much_does_not_delay_those_with_little() -> None:
    queue = SubmissionQueue()
    flood, honest = Device(queue), [Device(queue) for _ in range(100)]
    for _ in range(1_000):
        flood.submit(1_000)
    for device in honest:
        device.submit()
    taken, _ = queue.take(of_much=True)
    assert all(numbers_of(device, taken) == [1] for device in honest)
    bytes_of_flood = sum(one.size for one in taken if one.submitter is flood)
    assert bytes_of_flood <= 1_000 + max(TURN_BYTES, MAX_BATCH_BYTES_OF_MUCH)


def test_only_who_waits_for_each_ack_comes_first() -> None:
    queue = SubmissionQueue()
    flood, honest = Device(queue), Device(queue)
    flood.submit()
    honest.submit()
    taken, _ = queue.take(of_much=False)
    assert len(taken) == 2
    honest.confirm()
    flood.submit()  # its first is on its way still
    honest.submit()
    taken, _ = queue.take(of_much=False)
    assert (numbers_of(flood, taken), numbers_of(honest, taken)) == ([], [2])


def test_packets_that_are_very_large_wait_for_the_others() -> None:
    queue = SubmissionQueue()
    floods, honest = [Device(queue) for _ in range(50)], Device(queue)
    for flood in floods:
        flood.submit(80_000)
    honest.submit()
    taken, _ = queue.take(of_much=True)
    assert numbers_of(honest, taken) == [1]
    assert len(taken) == 2


def test_a_device_with_much_is_served_however_many_have_little() -> None:
    queue = SubmissionQueue()
    flood = Device(queue)
    for _ in range(100):
        flood.submit(TURN_BYTES)
    for _ in range(10):
        for device in [Device(queue) for _ in range(1_000)]:
            device.submit()
        assert numbers_of(flood, queue.take(of_much=True)[0])


def test_devices_with_much_have_more_of_a_batch_where_no_others_are() -> None:
    queue = SubmissionQueue()
    floods = [Device(queue) for _ in range(50)]
    size = MAX_BATCH_BYTES_OF_MUCH // 2
    for flood in floods:
        for _ in range(10):
            flood.submit(size)
    queue.take(of_much=False)
    assert sum(one.size for one in queue.take(of_much=True)[0]) == ALONE * MAX_BATCH_BYTES_OF_MUCH
    Device(queue).submit()
    of_much = [one for one in queue.take(of_much=True)[0] if one.submitter in floods]
    assert sum(one.size for one in of_much) <= max(TURN_BYTES, MAX_BATCH_BYTES_OF_MUCH)


def test_devices_with_much_take_turns() -> None:
    queue = SubmissionQueue()
    one, other = Device(queue), Device(queue)
    for device in (one, other):
        for _ in range(200):
            device.submit(TURN_BYTES)
    taken = [submission for _ in range(100) for submission in queue.take(of_much=True)[0]]
    assert abs(len(numbers_of(one, taken)) - len(numbers_of(other, taken))) <= 1


def test_what_waits_of_those_that_have_ended_is_dropped_and_nothing_else() -> None:
    queue = SubmissionQueue()
    ended, flood, honest = (Device(queue) for _ in range(3))
    for _ in range(3):
        ended.submit()
        flood.submit(TURN_BYTES)
        honest.submit()
    ended.ended = True
    assert numbers_of(ended, queue.drop_ended()) == [1, 2, 3]
    assert len(queue) == 6
    honest.submit()
    taken = [submission for _ in range(3) for submission in queue.take(of_much=True)[0]]
    assert (numbers_of(flood, taken), numbers_of(honest, taken)) == ([1, 2, 3], [1, 2, 3, 4])
    assert len(taken) == 7


@given(st.data())
def test_each_devices_packets_come_out_once_and_in_their_order(data: st.DataObject) -> None:
    """Whatever is put back in between, as after a connection that broke."""
    queue = SubmissionQueue(
        large_bytes=2_000, turn_bytes=1_000, batch_bytes=3_000, batch_bytes_of_much=1_500
    )
    devices = [Device(queue) for _ in range(3)]
    submitted = [0, 0, 0]
    in_flight: list[Submission] = []
    confirmed: list[Submission] = []
    for step in data.draw(st.lists(st.integers(0, 5), max_size=60)):
        if step < 3:
            devices[step].submit(data.draw(st.sampled_from((300, 900, 1_200, 2_500))))
            submitted[step] += 1
        elif step == 3:
            taken = queue.take(of_much=True)[0]
            assert taken or not len(queue)
            in_flight += taken
        elif step == 4:
            cut = data.draw(st.integers(0, len(in_flight)))
            confirmed += in_flight[:cut]
            del in_flight[:cut]
        else:
            queue.put_back(in_flight)
            in_flight.clear()
        assert len(queue) == len(list(queue))
    confirmed += in_flight
    while taken := queue.take(of_much=True)[0]:
        confirmed += taken
    for device, count in zip(devices, submitted, strict=True):
        assert numbers_of(device, confirmed) == list(range(1, count + 1))


def test_those_with_much_wait_where_a_batch_is_not_for_them() -> None:
    queue = SubmissionQueue()
    flood, honest = Device(queue), Device(queue)
    flood.submit(LARGE_BYTES + 1)
    assert not queue.has_any(of_much=False)
    assert queue.take(of_much=False) == ([], False)
    honest.submit()
    taken, is_of_much = queue.take(of_much=False)
    assert (numbers_of(honest, taken), is_of_much) == ([1], False)
    assert queue.has_any(of_much=True)
    taken, is_of_much = queue.take(of_much=True)
    assert (numbers_of(flood, taken), is_of_much) == ([1], True)
