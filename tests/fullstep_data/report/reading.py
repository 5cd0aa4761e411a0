"""Reading a report back as data, without a browser: its elements, its JSON, the solutions packed into it."""

import base64
import gzip
import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any


@dataclass
class Element:
    """A start tag with the text that follows it up to the next tag; after an end tag, one without a name."""

    tag: str
    attributes: dict[str, str | None]
    text: str = ""


@dataclass
class Reading(HTMLParser):
    """elements: all of them in order. `data` and `details`: what the page's script reads."""

    html: str
    elements: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.elements.append(Element("", {}))

    def handle_data(self, data: str) -> None:
        if self.elements:
            self.elements[-1].text += data

    def all(self, tag: str) -> list[Element]:
        return [element for element in self.elements if element.tag == tag]

    def by_id(self, name: str) -> Element:
        (found,) = [element for element in self.elements if element.attributes.get("id") == name]
        return found

    @property
    def text(self) -> str:
        """What a person reads: all text but that of scripts and styles."""
        return " ".join(" ".join(one.text.split()) for one in self.elements if one.tag not in ("script", "style"))

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.by_id("data").text)

    @property
    def details(self) -> list[dict[str, Any]]:
        return json.loads(gzip.decompress(base64.b64decode(self.by_id("details").text)))
