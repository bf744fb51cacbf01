"""Golden exchanges of the openai dialect's relatives: the shipped rows, what is sent through them, and what comes back.

Each file names the provider's documents that it follows. What is asked goes through the real settings, the real
gatherer of media (an address leads to a PNG of eight bytes) and the real codec.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from tests import relatives
from tests.relatives import FOLDER

from reynard import config
from reynard.core.generation import Generation

RELATIVES: dict[str, dict[str, Any]] = {file.stem: json.loads(file.read_text("utf-8")) for file in FOLDER.iterdir()}
SAMPLES: dict[str, Any] = json.loads((Path(__file__).parent / "parameters.json").read_text("utf-8"))
ASKED_OTHERWISE = {"model", "messages", "stream", "stream_options"}


def each(kind: str) -> list[Any]:
    return [
        pytest.param(relative, case, id=f"{name}: {case['name']}")
        for name, relative in RELATIVES.items()
        for case in relative[kind]
    ]


def test_every_provider_of_the_dialect_has_its_exchanges() -> None:
    ids = {row.id for row in config.load(None, {}).providers if row.dialect == "openai"}
    assert {relative["provider"] for relative in RELATIVES.values()} == ids
    assert set(RELATIVES) == ids


def test_every_parameter_has_a_sample() -> None:
    assert set(SAMPLES) | ASKED_OTHERWISE == set(Generation.__struct_fields__)


@pytest.mark.parametrize(("relative", "case"), each("requests"))
def test_a_request_is_sent_as_the_provider_documents_it(
    relative: dict[str, Any], case: dict[str, Any], tmp_path: Path
) -> None:
    call = relatives.called(relative, case["asked"], tmp_path)
    assert call["to"] == relative["to"]
    assert call["headers"] == relative["headers"]
    assert call["sent"] == relatives.compact(case["sent"])


@pytest.mark.parametrize("name", RELATIVES)
def test_exactly_these_parameters_are_refused_by_name(name: str, tmp_path: Path) -> None:
    channel = relatives.channel_of(RELATIVES[name], tmp_path)
    assert relatives.refused(channel, SAMPLES) == RELATIVES[name]["refused"]


@pytest.mark.parametrize(("relative", "case"), each("answers"))
def test_an_answer_is_put_into_openais_words(relative: dict[str, Any], case: dict[str, Any]) -> None:
    assert relatives.made(case["body"]) == case["made"]


@pytest.mark.parametrize(("relative", "case"), each("streams"))
def test_a_stream_is_put_into_openais_words(relative: dict[str, Any], case: dict[str, Any]) -> None:
    assert relatives.streamed(case["lines"]) == case["made"]
