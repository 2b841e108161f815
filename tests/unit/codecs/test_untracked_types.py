"""`gc=False` hides an object from the collector: only what can be in no cycle may have it."""

import importlib
import pkgutil
import struct
import types
import typing
from collections.abc import Callable, Iterator
from enum import Enum
from typing import get_args, get_origin, get_type_hints

import msgspec
import pytest

import teltonika.cli
import teltonika.codecs
import teltonika.consumer
import teltonika.emulator
import teltonika.server
from teltonika.codecs import AVL_CODECS, AvlRecord, IoElement, IoElements, decode_packet
from teltonika.codecs.framing import encode_packet

_LEAVES = (bool, int, float, str, bytes, type(None))
_FUNCTIONS = {(IoElements, "read_pairs")}
"""Fields that hold a function: what it is, is tested below."""


def _untracked() -> Iterator[type[msgspec.Struct]]:
    packages = (
        teltonika.codecs,
        teltonika.server,
        teltonika.consumer,
        teltonika.emulator,
        teltonika.cli,
    )
    for package in packages:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    waiting: list[type[msgspec.Struct]] = [msgspec.Struct]
    while waiting:
        for one in waiting.pop().__subclasses__():
            waiting.append(one)
            if one.__struct_config__.gc is False and one.__module__.startswith("teltonika."):
                yield one


UNTRACKED = sorted(set(_untracked()), key=lambda one: f"{one.__module__}.{one.__qualname__}")


def _why_not(annotation: object) -> str | None:
    """Why a field of this type could refer back to what holds it; None if it can't."""
    origin = get_origin(annotation)
    if origin in (types.UnionType, typing.Union, tuple, typing.Literal):
        inner = (arg for arg in get_args(annotation) if arg is not ...)
        if origin is typing.Literal:
            return None
        return next((why for arg in inner if (why := _why_not(arg)) is not None), None)
    if origin is typing.Annotated:
        return _why_not(get_args(annotation)[0])
    if isinstance(annotation, type):
        if annotation in _LEAVES or issubclass(annotation, Enum):
            return None
        if issubclass(annotation, msgspec.Struct):
            return _why_not_struct(annotation)
    return f"{annotation} can"


def _why_not_struct(struct_type: type[msgspec.Struct]) -> str | None:
    if struct_type.__subclasses__():
        return f"{struct_type} has subclasses, whose fields are others"
    for name, annotation in get_type_hints(struct_type, include_extras=True).items():
        if name.startswith("__") or (struct_type, name) in _FUNCTIONS:
            continue
        if (why := _why_not(annotation)) is not None:
            return f"{struct_type.__name__}.{name}: {why}"
    return None


@pytest.mark.parametrize("untracked", UNTRACKED, ids=lambda one: one.__qualname__)
def test_what_the_collector_does_not_see_can_be_in_no_cycle(
    untracked: type[msgspec.Struct],
) -> None:
    assert _why_not_struct(untracked) is None


def test_there_are_such_types_and_the_rule_finds_those_that_may_not_be() -> None:
    class Holder(msgspec.Struct, gc=False):
        error: Exception

    class ListHolder(msgspec.Struct, gc=False):
        values: list[int]

    class CallableHolder(msgspec.Struct, gc=False):
        call: Callable[[], None]

    assert len(UNTRACKED) > 10
    for wrong in (Holder, ListHolder, CallableHolder):
        assert _why_not_struct(wrong) is not None


@pytest.mark.parametrize("codec", list(AVL_CODECS), ids=lambda codec: codec.name)
def test_the_function_that_reads_a_records_numbers_is_a_method_of_a_struct(codec) -> None:  # type: ignore[no-untyped-def]
    record = AvlRecord(0, 0, 0, 0, 0, 0, 0, 0, io=IoElements.of([IoElement(1, 2, 1)]))
    if codec.name == "16":
        record = msgspec.structs.replace(record, generation_type=0)
    packet = decode_packet(encode_packet(codec, [record]))
    reader = packet.records[0].io.read_pairs
    assert isinstance(reader, types.BuiltinMethodType)
    assert isinstance(reader.__self__, struct.Struct)
