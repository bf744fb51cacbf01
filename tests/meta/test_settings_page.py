"""The pages on settings list what there is, with its default; a page on a decision is found by its number."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from msgspec import Struct

from reynard.config import ChannelSettings, Provider, Settings
from reynard.core.catalogue import Model
from reynard.core.channels import Quirks, Rests, Retries
from reynard.core.circuit import CircuitRule
from reynard.core.media_tokens import MediaTokens
from reynard.storage.blobs.objects import DEFAULT_REGION, SETTINGS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = ["settings.md", "settings.zh.md"]
ROW = re.compile(r"^\| `([a-z_.]+)` \|([^|]*)\|", re.MULTILINE)
IN_WORDS: Final = {"max_media", "quirks", "fetches", "dialect", "base_url", "path", "auth", "api_key"}
"""What has no default of its own: the provider's or the dialect's is told in words."""


def page(name: str) -> str:
    """Its text, with numbers written as one."""
    return re.sub(r"(?<=\d)_(?=\d)", "", (DOCS / name).read_text("utf-8"))


def defaults(kind: type[Struct]) -> Iterator[tuple[str, str | None]]:
    """Each field, and its default as TOML has it; None for one that is told in words."""
    for field in msgspec.structs.fields(kind):
        if field.name in IN_WORDS:
            yield field.name, None
        elif field.required:
            yield field.name, ""
        else:
            found = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
            yield field.name, written(found)


def written(value: Any) -> str:
    match value:
        case None | "":
            return ""
        case bool():
            return f"`{str(value).lower()}`"
        case str() | int() | float():
            return f"`{value}`"
        case tuple():
            return f"`[{', '.join(f'{chr(34)}{item}{chr(34)}' for item in value)}]`"
        case _:
            return "`{}`"


def sections() -> Iterator[tuple[str, str | None]]:
    for section in msgspec.structs.fields(Settings):
        if isinstance(section.type, type) and issubclass(section.type, Struct):
            for name, default in defaults(section.type):
                yield f"{section.name}.{name}", default


@pytest.mark.parametrize("name", PAGES)
def test_every_setting_has_a_row_with_its_default(name: str) -> None:
    rows = Counter((setting, default.strip()) for setting, default in ROW.findall(page(name)))
    told = Counter(setting for setting, _ in rows)
    kinds = (ChannelSettings, CircuitRule, Retries, Rests, Quirks, Model, MediaTokens)
    wanted = [*sections(), *(row for kind in kinds for row in defaults(kind))]
    missing = [
        (setting, default)
        for setting, default in wanted
        if not (told[setting] if default is None else rows[setting, default])
    ]
    assert missing == []
    assert set(told) - {setting for setting, _ in wanted} == set(), "of what there is no more"


@pytest.mark.parametrize("name", PAGES)
def test_providers_and_the_variables_of_s3_are_named(name: str) -> None:
    text = page(name)
    assert [field for field in Provider.__struct_fields__ if f"`{field}`" not in text] == []
    assert [variable for variable in SETTINGS if f"`{variable}`" not in text] == []
    assert f"`{DEFAULT_REGION}`" in text


def test_a_number_leads_to_one_decision() -> None:
    pages = sorted((DOCS / "decisions").glob("*.md"))
    assert [path.name[:4] for path in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    for path in pages:
        assert path.read_text("utf-8").startswith(f"# {path.name[:4]}: "), path.name


def test_what_the_code_says_of_decisions_is_there() -> None:
    numbers = {path.name[:4] for path in (DOCS / "decisions").glob("*.md")}
    sources = [ROOT / "Makefile", *(ROOT / "src").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    named = {number for path in sources for number in re.findall(r"docs/decisions/(\d{4})", path.read_text("utf-8"))}
    assert named <= numbers
    assert named
