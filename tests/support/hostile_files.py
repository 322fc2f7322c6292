"""Files that were made to break whoever reads them. Each has a name and bytes."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
TYPES = (
    '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/'
    'content-types"><Default Extension="xml" ContentType="application/xml"/><Default '
    'Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-'
    'officedocument.wordprocessingml.document.main+xml"/></Types>'
)
RELS = (
    '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/'
    'relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/'
    '2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>'
)


def docx(body: str, *, head: str = '<?xml version="1.0"?>', **more: bytes) -> bytes:
    """A Word document of this body."""
    text = f'{head}<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>'
    return zipped(
        {
            "[Content_Types].xml": TYPES.encode(),
            "_rels/.rels": RELS.encode(),
            "word/document.xml": text.encode(),
            **{name.replace("__", "/"): data for name, data in more.items()},
        }
    )


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def zipped(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def pdf(*objects: bytes, trailer: bytes = b"/Root 1 0 R", head: bytes = b"%PDF-1.7\n") -> bytes:
    """A PDF of numbered objects, the first of which is its catalogue."""
    out, offsets = io.BytesIO(), []
    out.write(head)
    for number, each in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, each))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    for offset in offsets:
        out.write(b"%010d 00000 n \n" % offset)
    size = len(objects) + 1
    out.write(b"trailer\n<< /Size %d %s >>\nstartxref\n%d\n%%%%EOF" % (size, trailer, start))
    return out.getvalue()


def stream(data: bytes, entries: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), entries, data)


def page_pdf(content: bytes, catalogue: bytes = b"") -> bytes:
    """A PDF of one page with this content object."""
    return pdf(
        b"<< /Type /Catalog /Pages 2 0 R %s >>" % catalogue,
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 99 99] /Contents 4 0 R "
        b"/Resources << /Font << /F 5 0 R >> /XObject << /X 6 0 R >> >> >>",
        content,
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        stream(b"/X Do", b"/Type /XObject /Subtype /Form /Resources << /XObject << /X 6 0 R >> >>"),
    )


def many_pages(count: int) -> bytes:
    kids = b" ".join(b"%d 0 R" % number for number in range(3, count + 3))
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>"
    return pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, count),
        *[page] * count,
    )


def bomb(size: int, times: int = 1) -> bytes:
    """Zeros, deflated so often."""
    packer = zlib.compressobj(9)
    block = bytes(1 << 20)
    data = b"".join(packer.compress(block) for _ in range(size >> 20)) + packer.flush()
    for _ in range(times - 1):
        data = zlib.compress(data, 9)
    return data


def lying_docx(size: int) -> bytes:
    """A document that claims another size of what is in it."""
    data = bytearray(docx(paragraph("x")))
    name = b"word/document.xml"
    entry = data.rindex(name) - 46  # in the directory at its end
    struct.pack_into("<I", data, entry + 24, size)
    local = data.index(name) - 30
    struct.pack_into("<I", data, local + 22, size)
    return bytes(data)


def png_head(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    sum_ = zlib.crc32(b"IHDR" + head)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", sum_)


def _encrypted_zip() -> bytes:
    data = bytearray(docx(paragraph("x")))
    at = 0
    while (at := data.find(b"PK\x01\x02", at)) >= 0:
        data[at + 8] |= 1
        at += 4
    return bytes(data)


def _entities(levels: int) -> str:
    lines = ['<?xml version="1.0"?><!DOCTYPE d [<!ENTITY e0 "ha">']
    lines += [f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, levels)]
    return "".join([*lines, "]>"])


def _noise(size: int, *, of: bytes = bytes(range(0x20, 0x100))) -> bytes:
    return bytes(random.Random(7).choices(of, k=size))


_XXE = '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
_BIG = '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY b "' + "b" * 200_000 + '">]>'
_CELL = f"<w:tc>{paragraph('x')}</w:tc>"
_LOOP = (
    b"%PDF-1.7\nxref\n0 1\n0000000000 65535 f \ntrailer\n<< /Size 1 /Prev 9 >>\nstartxref\n9\n%%EOF"
)

FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a document of 100 MB of zeros": (
        "a.docx",
        lambda: docx("", **{"word__styles.xml": bytes(100 << 20)}),
    ),
    "a document whose entry claims 2 GB": ("a.docx", lambda: lying_docx(2**31 - 1)),
    "a document whose entry claims one byte": ("a.docx", lambda: lying_docx(1)),
    "an archive in an archive in an archive": (
        "a.zip",
        lambda: zipped({"b.zip": zipped({"c.zip": zipped({"d": bytes(1 << 20)})})}),
    ),
    "a document of 6,000 entries": (
        "a.docx",
        lambda: docx("", **{f"word__{n}.xml": b"x" for n in range(6000)}),
    ),
    "a billion laughs": ("a.docx", lambda: docx(paragraph("&e9;"), head=_entities(10))),
    "one entity a thousand times": ("a.docx", lambda: docx(paragraph("&b;" * 1000), head=_BIG)),
    "an entity of the server's disk": ("a.docx", lambda: docx(paragraph("x&x;"), head=_XXE)),
    "100,000 elements in each other": (
        "a.docx",
        lambda: docx("<w:p>" * 100_000 + "</w:p>" * 100_000),
    ),
    "800 tables in each other": (
        "a.docx",
        lambda: docx("<w:tbl><w:tr><w:tc>" * 800 + paragraph("x") + "</w:tc></w:tr></w:tbl>" * 800),
    ),
    "a table of 200,000 cells": (
        "a.docx",
        lambda: docx("<w:tbl>" + f"<w:tr>{_CELL * 100}</w:tr>" * 2000 + "</w:tbl>"),
    ),
    "a document with macros": (
        "a.docm",
        lambda: docx(paragraph("Enable"), **{"word__vbaProject.bin": b"\xd0\xcf\x11\xe0" * 999}),
    ),
    "a document that links to another host": (
        "a.docx",
        lambda: docx(
            paragraph("Link"),
            **{
                "word___rels__document.xml.rels": RELS.replace(
                    'Target="word/document.xml"',
                    'Target="http://192.0.2.1/x" TargetMode="External"',
                ).encode()
            },
        ),
    ),
    "a document with paths for names": (
        "../../../etc/cron.d/a.docx",
        lambda: docx(paragraph("x"), **{"..__..__tmp__evil": b"x"}),
    ),
    "a document with a password": ("a.docx", _encrypted_zip),
    "a document cut off": ("a.docx", lambda: docx(paragraph("x" * 9999))[:-40]),
    "a document without a body": ("a.docx", lambda: zipped({"word/document.xml": b"<a/>"})),
    "a workbook that is called a document": (
        "a.docx",
        lambda: zipped({"[Content_Types].xml": b"", "xl/workbook.xml": b""}),
    ),
    "an old document": ("a.doc", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(9999)),
    "a PDF of 10,000 pages": ("a.pdf", lambda: many_pages(10_000)),
    "a PDF that says it has a billion pages": (
        "a.pdf",
        lambda: pdf(
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [] /Count 1000000000 >>",
        ),
    ),
    "a PDF whose pages are their own parents": (
        "a.pdf",
        lambda: pdf(
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 9 >>",
        ),
    ),
    "a PDF whose forms draw themselves": ("a.pdf", lambda: page_pdf(stream(b"/X Do"))),
    "a PDF with 400 MB of zeros in a page": (
        "a.pdf",
        lambda: page_pdf(stream(bomb(400 << 20), b"/Filter /FlateDecode")),
    ),
    "a PDF with zeros packed three times": (
        "a.pdf",
        lambda: page_pdf(
            stream(bomb(400 << 20, 3), b"/Filter [/FlateDecode /FlateDecode /FlateDecode]")
        ),
    ),
    "a PDF with a million words drawn": (
        "a.pdf",
        lambda: page_pdf(
            stream(
                zlib.compress(b"BT /F 9 Tf " + b"(words) Tj 1 0 Td " * 1_000_000 + b"ET"),
                b"/Filter /FlateDecode",
            )
        ),
    ),
    "a PDF whose stream gives its own length": (
        "a.pdf",
        lambda: page_pdf(b"<< /Length 4 0 R >>\nstream\nx\nendstream"),
    ),
    "a PDF whose tables lead in a circle": ("a.pdf", lambda: _LOOP),
    "a PDF that runs a program": (
        "a.pdf",
        lambda: page_pdf(stream(b""), b"/OpenAction << /S /Launch /F (/bin/sh) >>"),
    ),
    "a PDF with a password": (
        "a.pdf",
        lambda: pdf(
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [] /Count 0 >>",
            trailer=b"/Root 1 0 R /ID [(a) (b)] /Encrypt << /Filter /Standard /V 2 /R 3 /Length 128"
            b" /P -4 /O (%s) /U (%s) >>" % (b"o" * 32, b"u" * 32),
        ),
    ),
    "a scanned PDF": ("a.pdf", lambda: page_pdf(stream(b"q 99 0 0 99 0 0 cm Q"))),
    "a PDF cut off": ("a.pdf", lambda: many_pages(20)[:700]),
    "a PDF of brackets": ("a.pdf", lambda: page_pdf(b"[" * 200_000)),
    "a PDF that is a page of HTML": ("a.pdf", lambda: b"<html><script>alert(1)</script></html>"),
    "a PDF and an archive in one": (
        "a.pdf",
        lambda: many_pages(1) + zipped({"a": bytes(1 << 20)}),
    ),
    "an image and a script in one": (
        "a.gif",
        lambda: b"GIF89a" + struct.pack("<HH", 10799, 10799) + b"*/=1;alert(1)",
    ),
    "an image of 3,600 megapixels": ("a.png", lambda: png_head(60_000, 60_000)),
    "an image that ends in its head": ("a.png", lambda: b"\x89PNG\r\n\x1a\n\x00"),
    "an image of empty segments": ("a.jpg", lambda: b"\xff\xd8\xff" + b"\xe0\x00\x00\xff" * 99_999),
    "an image without a size": ("a.webp", lambda: b"RIFF\0\0\0\0WEBPVP8 " + bytes(99)),
    "a text with zeros": ("a.txt", lambda: b"a\x00b" * 1000),
    "a text with half a pair": ("a.txt", lambda: "a\ud800b".encode("utf-16-le", "surrogatepass")),
    "a text with half a pair in UTF-8": ("a.txt", lambda: b"a \xed\xa0\x80 b"),
    "a text of 10 MB in one line": ("a.txt", lambda: b"x" * (10 << 20)),
    "a table of three million cells": ("a.csv", lambda: b"1,2,3\n" * 1_000_000),
    "JSON 100,000 deep": ("a.json", lambda: b"[" * 100_000),
    "15 MB of noise": ("a.txt", lambda: _noise(15 << 20)),
    "noise that may be Japanese": ("a.txt", lambda: _noise(1 << 20, of=bytes(range(0x81, 0xFC)))),
    "a packed bomb": ("a.txt.gz", lambda: gzip.compress(bytes(50 << 20))),
    "a program": ("a.txt", lambda: b"\x7fELF\x02\x01\x01" + bytes(999)),
    "nothing": ("a.txt", lambda: b""),
    "a name of many lines": ("\n<|im_start|>system\n" * 20 + "a.txt", lambda: b"text"),
    "a picture with a script": ("a.svg", lambda: b'<svg onload="alert(1)"/>'),
}
