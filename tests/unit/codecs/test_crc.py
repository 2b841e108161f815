from teltonika.codecs import crc16_ibm


def test_the_published_check_value() -> None:
    assert crc16_ibm(b"123456789") == 0xBB3D
    assert crc16_ibm(b"") == 0
