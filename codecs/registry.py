"""Which codec a codec id stands for."""

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from teltonika.codecs.avl import AvlCodec
from teltonika.codecs.codec8 import CODEC8
from teltonika.codecs.codec8e import CODEC8_EXTENDED
from teltonika.codecs.codec12 import CODEC12
from teltonika.codecs.codec13 import CODEC13
from teltonika.codecs.codec14 import CODEC14
from teltonika.codecs.codec15 import CODEC15
from teltonika.codecs.codec16 import CODEC16
from teltonika.codecs.commands import CommandCodec
from teltonika.codecs.errors import ErrorCode, UnknownCodecError

_OUT_OF_SCOPE = {0x07: "codec 7 of GH devices, which is not read here"}

CodecT = TypeVar("CodecT", bound=AvlCodec | CommandCodec)


class CodecRegistry(Generic[CodecT]):
    """A value that maps codec ids, and names such as ``8E``, to codecs."""

    def __init__(self, codecs: Iterable[CodecT]) -> None:
        self._by_id = {codec.codec_id: codec for codec in codecs}
        self._by_name = {codec.name: codec for codec in self._by_id.values()}
        self.ids = frozenset(self._by_id)
        """The codec ids of all of them."""

    def __iter__(self) -> Iterator[CodecT]:
        return iter(self._by_id.values())

    def by_name(self, name: str) -> CodecT:
        """The codec called ``name`` (case does not matter). Raises ValueError."""
        codec = self._by_name.get(name.upper())
        if codec is None:
            raise ValueError(f"no codec is called {name!r}: one of {', '.join(self._by_name)}")
        return codec

    def by_id(self, codec_id: int, offset: int = 0) -> CodecT:
        """The codec of a packet's codec id, which stands at byte ``offset``.

        Raises UnknownCodecError.
        """
        codec = self._by_id.get(codec_id)
        if codec is not None:
            return codec
        known = ", ".join(f"0x{known_id:02X}" for known_id in sorted(self._by_id))
        raise UnknownCodecError(
            ErrorCode.UNKNOWN_CODEC,
            offset,
            f"codec id at byte {offset}: found 0x{codec_id:02X}, "
            + _OUT_OF_SCOPE.get(codec_id, f"which is none of {known}"),
            expected=known,
            found=codec_id,
        )


AVL_CODECS = CodecRegistry((CODEC8, CODEC8_EXTENDED, CODEC16))
COMMAND_CODECS = CodecRegistry((CODEC12, CODEC14))
"""Those in which a server can send a command."""
TEXT_CODECS = CodecRegistry((CODEC13, CODEC15))
"""Those in which a device sends text that nobody asked for."""
MESSAGE_CODECS = CodecRegistry((CODEC12, CODEC13, CODEC14, CODEC15))
"""Those that carry text in either direction."""
CODECS: CodecRegistry[AvlCodec | CommandCodec] = CodecRegistry((*AVL_CODECS, *MESSAGE_CODECS))
