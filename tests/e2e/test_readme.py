"""Every curl of the README works as it stands, in order, on a gateway as the README starts it."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.processes import Gateway, running

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```bash\n(curl .*?)^```", re.MULTILINE | re.DOTALL)
READMES = ["README.md", "README.zh.md"]


def curls(readme: str) -> list[str]:
    return BLOCK.findall((ROOT / readme).read_text("utf-8"))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(Gateway(tmp_path_factory.mktemp("demo"), demo=True)) as process:
        yield process


@pytest.mark.parametrize("readme", READMES)
def test_every_curl_works(demo: Gateway, readme: str) -> None:
    environment = {**os.environ, "REYNARD_URL": demo.url, "REYNARD_API_KEY": demo.key}
    task = "TASK_ID"
    for command in curls(readme):
        words = command.replace("TASK_ID", task).replace("curl ", "curl --fail-with-body --silent --show-error ", 1)
        result = subprocess.run(["sh", "-c", words], capture_output=True, text=True, env=environment, timeout=60)
        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
        assert result.stdout
        if result.stdout.startswith('{"id":"task-') and json.loads(result.stdout)["stream"] is not None:
            task = json.loads(result.stdout)["id"]


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
