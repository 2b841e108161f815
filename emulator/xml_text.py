"""Text from devices, servers and programs, for an XML file."""

import re

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xml_text(text: str) -> str:
    """``text`` without what XML has no place for."""
    return _NOT_XML.sub("\ufffd", text)
