"""The bytes of a protobuf message, for tests that have no generated code for it."""


def varint(data, at):
    """(value, where the next one begins)"""
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


def fields(data):
    """(number, content) of each length-delimited field."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        size, at = varint(data, at)
        if tag & 7 == 2:
            yield tag >> 3, data[at : at + size]
            at += size
