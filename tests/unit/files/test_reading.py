"""What is in a file: its kind by its content, and its text, in whichever encoding."""

from __future__ import annotations

import io

import pytest
from pypdf import PdfWriter

from streaming.files import encodings, images, tokens
from streaming.files.errors import REASONS, FileRefused, Unreadable
from streaming.files.names import clean_name
from streaming.files.reading import read
from tests.support.hostile_files import docx, page_pdf, paragraph, png_head, stream

JAPANESE = "こんにちは、世界。日本語の文章です。"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("naïve", "utf-8"),
        ("naïve", "utf-8-sig"),
        ("hello wörld", "utf-16"),
        ("hello wörld", "utf-16-le"),
        ("hello wörld", "utf-16-be"),
        ("hello wörld", "utf-32"),
        (JAPANESE, "cp932"),
        (JAPANESE, "euc_jp"),
        (JAPANESE, "iso2022_jp"),
        (JAPANESE, "utf-16"),
        ("Füße und Käse, “déjà vu” für 5 €", "cp1252"),
        ("Füße und Käse, déjà vu", "latin-1"),
        ("Привет, мир. Это русский текст для проверки кодировки.", "cp1251"),
        ("你好，世界。这是一个中文文本文件，用于测试编码检测。", "gbk"),
        ("안녕하세요 세계. 이것은 한국어 텍스트입니다.", "euc_kr"),
    ],
)
def test_an_encoding_is_found(text: str, encoding: str) -> None:
    assert encodings.decode(text.encode(encoding)) == text


def test_a_cut_text_keeps_its_encoding() -> None:
    data = ("日本語の文章です。" * 20).encode()
    assert encodings.decode(data[:-1]) == "日本語の文章です。" * 19 + "日本語の文章です\ufffd"


def test_what_is_no_text_is_none() -> None:
    for data in (b"a\x00b\x00\x00", bytes(range(256)), b"\x7fELF\x02", b"\xff\xfe\x00\xd8"):
        assert encodings.decode(data) is None


def test_a_document_becomes_markdown() -> None:
    cell = "<w:tc>{}</w:tc>".format
    body = (
        '<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>Title</w:t></w:r></w:p>'
        + paragraph("One &lt;two&gt; snake_case 2*3")
        + "<w:tbl><w:tr>"
        + cell(paragraph("a"))
        + cell(paragraph("b"))
        + "</w:tr><w:tr>"
        + cell(paragraph("1"))
        + cell(paragraph("2"))
        + "</w:tr></w:tbl>"
        + "<w:p><w:del><w:r><w:delText>gone</w:delText></w:r></w:del>"
        + "<w:ins><w:r><w:t>new</w:t></w:r></w:ins></w:p>"
    )
    styles = (
        '<w:styles xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        '<w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/></w:style>'
        "</w:styles>"
    )
    found = read(_styled(body, styles), "a.docx", 999)
    assert found.kind == "docx"
    assert found.text.splitlines()[0] == "# Title"
    assert "One <two> snake_case 2*3" in found.text
    assert "| a | b |\n| --- | --- |\n| 1 | 2 |" in found.text
    assert "new" in found.text
    assert "gone" not in found.text


def _styled(body: str, styles: str) -> bytes:
    rels = (
        '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/'
        'relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/'
        'officeDocument/2006/relationships/styles" Target="styles.xml"/></Relationships>'
    )
    more = {"word__styles.xml": styles.encode(), "word___rels__document.xml.rels": rels.encode()}
    return docx(body, **more)


def test_a_pdf_becomes_text_and_is_told_by_its_content() -> None:
    data = page_pdf(stream(b"BT /F 9 Tf 9 9 Td (Hello from a page) Tj ET"))
    found = read(data, "a.txt", 999)
    assert (found.kind, found.text) == ("pdf", "Hello from a page")
    buffer = io.BytesIO()
    writer = PdfWriter(io.BytesIO(data))
    writer.encrypt("", "owner", algorithm="RC4-128")  # may be read, and not changed
    writer.write(buffer)
    assert read(buffer.getvalue(), "a.pdf", 999).text == "Hello from a page"
    writer = PdfWriter(io.BytesIO(data))
    writer.encrypt("secret", algorithm="RC4-128")
    writer.write(buffer := io.BytesIO())
    with pytest.raises(Unreadable) as caught:
        read(buffer.getvalue(), "a.pdf", 999)
    assert caught.value.code == "encrypted"


def test_the_kind_of_a_text_is_its_names() -> None:
    names = {"a": "text", "a.MD": "markdown", "a.py": "code", "a.tsv": "csv", "a.jsonl": "json"}
    assert {name: read(b"x", name, 9).kind for name in names} == names
    assert read(b"a\r\nb\rc\n", "a", 99).text == "a\nb\nc"
    with pytest.raises(Unreadable) as caught:
        read(b"x" * 10, "a", 9)
    assert caught.value.refusal().message == "The text in the file is longer than 9 characters."


def test_an_images_size_is_in_its_head() -> None:
    assert images.image_of(png_head(3, 5)) == ("image/png", 3, 5)
    assert images.image_of(b"GIF89a\x03\x00\x05\x00\x00\x00\x00\x00") == ("image/gif", 3, 5)
    jpeg = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x0b\x08\x00\x05\x00\x03"
    assert images.image_of(jpeg) == ("image/jpeg", 3, 5)
    webp = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x02\0\0\x04\0\0"
    assert images.image_of(webp) == ("image/webp", 3, 5)
    assert images.image_of(b"text") is None
    for damaged in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xd9", png_head(0, 5)):
        with pytest.raises(Unreadable, match="damaged"):
            images.image_of(damaged)


def test_a_name_is_one_line_without_a_path() -> None:
    for name, cleaned in {
        "../../etc/passwd": "passwd",
        "C:\\temp\\a.txt": "a.txt",
        "a\r\nSet-Cookie: x": "a Set-Cookie: x",
        "\u202egnp.exe": "gnp.exe",
        'say "hi".txt': "say 'hi'.txt",
        "...": "file",
        "": "file",
        None: "file",
        "日本語.pdf": "日本語.pdf",
    }.items():
        assert clean_name(name) == cleaned
    assert len(clean_name("x" * 5000 + ".docx")) == 120
    assert clean_name("x" * 5000 + ".docx").endswith("x….docx")


def test_tokens_are_about_as_many_as_they_are() -> None:
    assert tokens.estimate("") == 0
    assert tokens.estimate("one two three four") == 5
    assert tokens.estimate("日本語") == 3


def test_every_reason_is_a_sentence() -> None:
    values = {"most": 12_345, "tokens": 67_890, "why": "it is not"}
    for code in REASONS:
        error = FileRefused(code, "input[0]", **values)
        assert error.message.endswith(".")
        assert "%" not in error.message
    assert "12,345" in FileRefused("over_context", **values).message
