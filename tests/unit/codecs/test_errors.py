"""One tree, and errors that say where."""

import inspect

from teltonika.codecs import DecodeError, DecodeFailure, ErrorCode, TeltonikaError, errors
from teltonika.codecs.hextext import HexTextError


def test_every_exception_is_in_the_tree_and_in_its_picture() -> None:
    assert errors.__doc__ is not None
    for name, value in vars(errors).items():
        if inspect.isclass(value) and issubclass(value, Exception):
            assert issubclass(value, TeltonikaError)
            assert name in errors.__doc__
    assert issubclass(HexTextError, DecodeError)


def test_what_an_error_says_is_a_value() -> None:
    error = DecodeError(ErrorCode.TRUNCATED, 3, "ends", expected=5, found=3)
    assert error.failure == DecodeFailure(ErrorCode.TRUNCATED, 3, "ends", expected=5, found=3)
    assert str(error) == str(error.failure) == "ends"
