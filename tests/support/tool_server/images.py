"""Looks at images: their kind and their size in pixels, from their bytes."""

from __future__ import annotations

import base64
import binascii
import struct
import zlib

from tests.support.tool_server.asked import BadRequest

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def described(url: str) -> str:
    """Return what an image is, such as `a PNG image of 32 x 32 pixels`. Raises BadRequest for what
    is none; an address elsewhere is not fetched, only named."""
    if url.startswith(("http://", "https://")):
        return f"an image at {url}"
    head, comma, text = url.partition(",")
    if not head.startswith("data:") or not comma or not head.endswith(";base64"):
        raise BadRequest("An image has to be a data URL or an address.", "image_url")
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise BadRequest("The image's data URL is not base64.", "image_url") from None
    for kind, size_of in _KINDS.items():
        if size := size_of(data):
            claimed = head.removeprefix("data:").removesuffix(";base64")
            if claimed != f"image/{kind.lower()}":
                raise BadRequest(f"The image is a {kind} and says {claimed}.", "image_url")
            return f"a {kind} image of {size[0]} x {size[1]} pixels"
    raise BadRequest("This is no image that can be read.", "image_url")


def _png(data: bytes) -> tuple[int, int] | None:
    """The size of a PNG whose chunks and pixels are whole."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    at, packed, size, row = 8, b"", (0, 0), 0
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        body = data[at + 4 : at + 8 + length]
        if zlib.crc32(body) != struct.unpack_from(">I", data, at + 8 + length)[0]:
            raise BadRequest("The PNG is damaged: a checksum is wrong.", "image_url")
        if body[:4] == b"IHDR":
            width, height, depth, colour = struct.unpack_from(">IIBB", body, 4)
            size, row = (width, height), (width * depth * _CHANNELS[colour] + 7) // 8 + 1
            is_laced = body[16]
        if body[:4] == b"IDAT":
            packed += body[4:]
        if body[:4] == b"IEND":
            pixels = zlib.decompressobj().decompress(packed, 2**24)
            if is_laced or len(pixels) == row * size[1]:
                return size
            break
        at += 12 + length
    raise BadRequest("The PNG is damaged: its end is missing.", "image_url")


def _jpeg(data: bytes) -> tuple[int, int] | None:
    if not data.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker, (length,) = data[at + 1], struct.unpack_from(">H", data, at + 2)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + length
    raise BadRequest("The JPEG has no frame.", "image_url")


def _gif(data: bytes) -> tuple[int, int] | None:
    if data[:6] not in (b"GIF87a", b"GIF89a") or len(data) < 10:
        return None
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _webp(data: bytes) -> tuple[int, int] | None:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return None
    if data[12:16] == b"VP8X":
        return tuple(1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))  # type: ignore[return-value]
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


_KINDS = {"PNG": _png, "JPEG": _jpeg, "GIF": _gif, "WEBP": _webp}
