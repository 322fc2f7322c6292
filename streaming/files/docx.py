"""The text of a Word document, as Markdown."""

from __future__ import annotations

import io
import zipfile

from streaming.files.errors import Unreadable

CONTENT_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

_MOST_ENTRIES = 5000
_MOST_BYTES = 200 * 2**20
"""Of all that is in the document, unpacked, pictures included."""
_MOST_XML_BYTES = 30 * 2**20
"""Of its XML, which takes many times as much memory when it is read."""

_OTHER_OFFICE = ("xl/", "ppt/", "mimetype", "Index/", "content.xml")


def docx_text(data: bytes) -> str:
    """Return the text of a document: headings, lists, tables and links as Markdown has them,
    without pictures. What is deleted in it, and its macros, are not read. Raises Unreadable."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check(archive)
        return _markdown(data)
    except (Unreadable, MemoryError):
        raise
    except RecursionError:
        raise Unreadable("too_hard") from None
    except Exception:  # of a stranger's file, the libraries raise whatever comes
        raise Unreadable("damaged") from None


def _check(archive: zipfile.ZipFile) -> None:
    entries = archive.infolist()
    names = {entry.filename for entry in entries}
    if "[Content_Types].xml" not in names or not any(name.startswith("word/") for name in names):
        is_office = any(name.startswith(_OTHER_OFFICE) for name in names)
        raise Unreadable("other_office" if is_office else "archive")
    xml = sum(entry.file_size for entry in entries if not entry.filename.startswith("word/media/"))
    whole = sum(entry.file_size for entry in entries)
    if len(entries) > _MOST_ENTRIES or xml > _MOST_XML_BYTES or whole > _MOST_BYTES:
        raise Unreadable("too_hard")
    if any(entry.flag_bits & 1 for entry in entries):
        raise Unreadable("encrypted")


def _markdown(data: bytes) -> str:
    import mammoth
    from markdownify import markdownify

    html = mammoth.convert_to_html(
        io.BytesIO(data),
        convert_image=mammoth.images.img_element(lambda image: {}),
        external_file_access=False,
        include_embedded_style_map=False,
    ).value
    text: str = markdownify(
        html,
        heading_style="ATX",
        bullets="-",
        strip=["img"],
        autolinks=False,
        table_infer_header=True,
        escape_asterisks=False,
        escape_underscores=False,
        escape_misc=False,
    )
    return text
