"""The pages on providers say what the rows and the codecs say."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

from reynard import config
from reynard.core.channels import Dialect

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("language", "name"), [("en", "providers.md"), ("zh", "providers.zh.md")])
def test_a_page_is_as_it_would_be_made_now(generator: ModuleType, language: str, name: str) -> None:
    text = (DOCS / name).read_text("utf-8")
    assert generator.page(text, language) == text, "run `make docs`"


def test_every_ready_row_can_be_used_as_it_stands(tmp_path: Path) -> None:
    """All of them together, with the blanks filled in."""
    page = (DOCS / "providers.md").read_text("utf-8")
    (text,) = re.findall(r"<!-- generated: rows -->\s+```toml\n(.*?)```", page, re.DOTALL)
    text = re.sub(r'api_key = "file:.*"\n', "", text)
    for blank in ("LOCATION", "PROJECT", "RESOURCE"):
        text = text.replace(blank, blank.lower())
    file = tmp_path / "reynard.toml"
    file.write_text(text, "utf-8")
    keys = [row.api_key.removeprefix("env:") for row in config.load(None, {}).providers if isinstance(row.api_key, str)]
    settings = config.load(file, dict.fromkeys(keys, "k"))
    assert {channel.provider for channel in settings.channels} >= {row.id for row in settings.providers}


def test_what_is_refused_is_told(generator: ModuleType) -> None:
    settings = config.load(None, {})
    page = (DOCS / "providers.md").read_text("utf-8")
    for provider in settings.providers:
        if provider.dialect in get_args(Dialect):
            (line,) = [line for line in page.splitlines() if line.startswith(f"| `{provider.id}` |")]
            assert all(f"`{name}`" in line for name in provider.quirks.unsupported)
