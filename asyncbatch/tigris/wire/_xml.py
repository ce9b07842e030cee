"""XML as S3 writes it: elements and text, from strangers, and so without a document type or entities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.parsers import expat

from ...errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Element", "parse_xml"]

_MAX_DEPTH: Final = 16  # S3's answers have four levels
# A page of a listing has some ten for each of its 1,000 objects, a bundle two for each of its 5,000 keys. In
# memory, an element takes fifty times what the shortest has in the document.
_MAX_ELEMENTS: Final = 100_000


class Element:
    """An element: its name without namespace, its text, and the elements in it."""

    __slots__ = ("children", "name", "text")

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = ""
        self.children: list[Element] = []

    def all(self, name: str) -> Iterator[Element]:
        """Iterate over the elements of a name that are directly in this one."""
        return (child for child in self.children if child.name == name)

    def find(self, name: str) -> Element | None:
        """Return the first element of a name that is directly in this one; None if there is none."""
        return next(self.all(name), None)

    def text_of(self, name: str) -> str | None:
        """Return the text of the first element of a name that is directly in this one; None without one."""
        found = self.find(name)
        return None if found is None else found.text


class _RefusedError(Exception):
    """What well-formed XML has that no answer of S3 has."""


class _Builder:
    """Makes elements of what the parser tells."""

    def __init__(self) -> None:
        self.root = Element("")
        self._elements = 0
        self._open = [self.root]
        self._text: list[str] = []

    def start(self, name: str, _attributes: object) -> None:
        if len(self._open) > _MAX_DEPTH:
            raise _RefusedError("its elements are nested too deeply")
        self._elements += 1
        if self._elements > _MAX_ELEMENTS:
            raise _RefusedError(f"it has more than {_MAX_ELEMENTS} elements")
        element = Element(name.rpartition("}")[2])
        self._open[-1].children.append(element)
        self._open.append(element)
        self._text = []

    def end(self, _name: str) -> None:
        element = self._open.pop()
        if not element.children:
            element.text = "".join(self._text)
        self._text = []

    def text(self, text: str) -> None:
        self._text.append(text)


def _refuse_doctype(*_: object) -> None:
    # All that can be made to grow, or to name a file, is declared there.
    raise _RefusedError("it has a document type")


def parse_xml(body: bytes) -> Element:
    """Read a document and return its root element.

    Raises:
        FormatError: if it is not well-formed, has a document type, or is deeper or longer than S3's answers.
    """
    builder = _Builder()
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(body, True)
    except _RefusedError as error:
        raise FormatError(str(error), codec="xml", offset=parser.CurrentByteIndex) from None
    except (expat.ExpatError, ValueError, LookupError) as error:  # the latter two: of unknown encodings
        raise FormatError(str(error), codec="xml", offset=max(parser.ErrorByteIndex, 0)) from error
    return builder.root.children[0]
