"""Every curl of the README works as it stands, in order, on a gateway as the README starts it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.processes import FreshGateway, Gateway, running

from reynard import config
from reynard.config.settings import FileSettings, MediaSettings

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```bash\n(curl .*?)^```", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
TOML = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
PDF = b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n"
READMES = ["README.md", "README.zh.md"]


def curls(readme: str) -> list[str]:
    return BLOCK.findall((ROOT / readme).read_text("utf-8"))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(FreshGateway(tmp_path_factory.mktemp("demo"), demo=True)) as process:
        yield process


@pytest.mark.parametrize("readme", READMES)
def test_every_curl_works(demo: Gateway, readme: str, tmp_path: Path) -> None:
    environment = {**os.environ, "REYNARD_URL": demo.url, "REYNARD_API_KEY": demo.new_key()}
    (tmp_path / "report.pdf").write_bytes(PDF)
    ids: dict[str, str] = {}
    for command in curls(readme):
        words = command.replace("curl ", "curl --fail-with-body --silent --show-error ", 1)
        for blank, known in ids.items():
            words = words.replace(blank, known)
        result = subprocess.run(
            ["sh", "-c", words], capture_output=True, text=True, env=environment, timeout=60, cwd=tmp_path
        )
        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
        assert result.stdout
        ids |= id_in(result.stdout)
    assert ids.keys() == {"TASK_ID", "FILE_ID", "RESPONSE_ID"}


def id_in(answer: str) -> dict[str, str]:
    """What the next commands have a blank for: a task with a stream, an uploaded file, a response."""
    if not answer.startswith("{"):
        return {}
    match json.loads(answer):
        case {"object": "llm.generation.task", "id": str(found), "stream": {}}:
            return {"TASK_ID": found}
        case {"object": "response", "id": str(found)}:
            return {"RESPONSE_ID": found}
        case {"filename": str(), "id": str(found)}:
            return {"FILE_ID": found}
        case _:
            return {}


@pytest.mark.parametrize("readme", READMES)
def test_the_python_is_valid_and_says_the_same(readme: str) -> None:
    shown = PYTHON.findall((ROOT / readme).read_text("utf-8"))
    assert shown == PYTHON.findall((ROOT / "README.md").read_text("utf-8"))
    compile("\n".join(shown), readme, "exec")


def test_the_python_works(demo: Gateway, tmp_path: Path) -> None:
    """One block after the other, as one program."""
    script = tmp_path / "shown.py"
    script.write_text("\n".join(PYTHON.findall((ROOT / "README.md").read_text("utf-8"))), "utf-8")
    environment = {**os.environ, "REYNARD_URL": demo.url, "REYNARD_API_KEY": demo.key}
    result = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment, timeout=60)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) >= 3


@pytest.mark.parametrize("readme", READMES)
def test_the_settings_can_be_used_as_they_stand(readme: str, tmp_path: Path) -> None:
    """All of them, in one file."""
    file = tmp_path / "reynard.toml"
    file.write_text("\n".join(TOML.findall((ROOT / readme).read_text("utf-8"))), "utf-8")
    keys = ("AZURE_OPENAI_API_KEY", "ANOTHER_KEY_1", "ANOTHER_KEY_2")
    settings = config.load(file, dict.fromkeys(keys, "k"))
    assert {channel.provider for channel in settings.channels} >= {"azure", "vertex-anthropic", "vllm", "ollama"}
    assert settings.files == FileSettings(url="s3://my-bucket/reynard")
    assert settings.media == MediaSettings()


def test_both_readmes_show_the_same_calls() -> None:
    assert [command_of(c) for c in curls("README.md")] == [command_of(c) for c in curls("README.zh.md")] != []


def command_of(curl: str) -> str:
    """Without its body, whose words are in the README's own language."""
    return re.sub(r"-d '.*?'", "", curl, flags=re.DOTALL)


def test_each_form_and_each_way_of_answering_is_shown() -> None:
    shown = curls("README.md")
    for field in ("prompt", "image_urls", "video_urls", "audio_url", "messages"):
        assert any(f'"{field}"' in curl for curl in shown)
    ways = {('"sync": true' in curl, '"stream": true' in curl) for curl in shown if "-d '" in curl}
    assert ways == {(False, False), (False, True), (True, False), (True, True)}
    assert any("/stream?offset=" in curl for curl in shown)


@pytest.mark.parametrize("page", [*READMES, *(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))])
def test_every_link_leads_somewhere(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        if not target.startswith(("http://", "https://")):
            assert ((ROOT / page).parent / target).exists(), target
