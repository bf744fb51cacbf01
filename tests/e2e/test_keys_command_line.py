"""`reynard keys`, with words that are easily got wrong; and commands on a directory in which there is no store."""

import json
import stat
from pathlib import Path

import pytest
from tests.e2e.test_command_line import reynard
from tests.processes import Gateway, running


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys") / "data"
    assert reynard("keys", "create", "--data", str(folder)).returncode == 0
    return folder


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["create", "--rpm", "0"], 2, "or none"),
        (["create", "--tpm", "0"], 2, "or none"),
        (["create", "--concurrency", "00"], 2, "or none"),
        (["create", "--models", ""], 2, "names no model"),
        (["create", "--models", " , "], 2, "names no model"),
        (["create", "--models", "all,gpt-5.5"], 2, "`all` stands alone"),
        (["create", "--expires", "0d"], 2, "is no time"),
        (["update", "KEY", "--expires", "0s"], 2, "is no time"),
        (["update", "KEY", "--rpm", "0"], 2, "or none"),
        (["update", "KEY", "--models", ""], 2, "names no model"),
        (["update", "KEY"], 2, "say what to change"),
    ],
)
def test_what_would_not_do_what_it_says_is_refused(data: Path, words: list[str], code: int, says: str) -> None:
    made = json.loads(reynard("keys", "create", "--json", "--data", str(data)).stdout)
    before = reynard("keys", "list", "--data", str(data)).stdout
    result = reynard("keys", *[made["id"] if word == "KEY" else word for word in words], "--data", str(data))
    assert (result.returncode, says in result.stderr) == (code, True), result.stderr
    assert reynard("keys", "list", "--data", str(data)).stdout == before


def test_a_revoked_key_gets_no_new_secret(data: Path) -> None:
    key_id = json.loads(reynard("keys", "create", "--json", "--data", str(data)).stdout)["id"]
    reynard("keys", "revoke", key_id, "--data", str(data))
    result = reynard("keys", "rotate", key_id, "--data", str(data))
    assert (result.returncode, result.stdout, "is revoked" in result.stderr) == (1, "", True)


def test_models_are_named_with_care(data: Path) -> None:
    every = json.loads(reynard("keys", "create", "--json", "--models", "all", "--data", str(data)).stdout)
    assert every["models"] is None
    named = reynard("keys", "create", "--json", "--models", " gpt-5.5, gpt-5.4 ,", "--data", str(data))
    assert (json.loads(named.stdout)["models"], named.stderr) == (["gpt-5.5", "gpt-5.4"], "")
    unknown = reynard("keys", "update", every["id"], "--models", "gpt-5.5,gpt-55", "--data", str(data))
    assert (unknown.returncode, "`gpt-55`" in unknown.stderr, "`gpt-5.5`" in unknown.stderr) == (0, True, False)


def test_a_key_is_shown_in_words(data: Path) -> None:
    made = json.loads(reynard("keys", "create", "--json", "--rpm", "5", "--data", str(data)).stdout)
    shown = reynard("keys", "show", made["id"], "--data", str(data)).stdout
    assert not {"None", "False", "True"} & set(shown.split())
    assert "previous webhook secret until" in shown
    lines = [line.split() for line in shown.splitlines()]
    assert ["models", "all"] in lines
    assert ["expires", "never"] in lines
    assert ["admin", "no"] in lines
    assert ["tpm", "none"] in lines


@pytest.mark.parametrize(
    "words",
    [
        ["ledger", "verify"],
        ["ledger", "list", "key-1"],
        ["keys", "list"],
        ["keys", "revoke", "key-1"],
        ["webhooks", "list"],
        ["webhooks", "secret", "key-1"],
    ],
    ids=" ".join,
)
def test_where_there_is_no_store_none_is_made(tmp_path: Path, words: list[str]) -> None:
    result = reynard(*words, "--data", str(tmp_path / "nowhere"))
    assert (result.returncode, result.stdout) == (1, "")
    assert "there is no store in" in result.stderr
    assert "--data" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_first_key_makes_a_store_and_says_so(tmp_path: Path) -> None:
    first = reynard("keys", "create", "--data", str(tmp_path / "data"))
    assert f"a new store in {tmp_path / 'data'}" in first.stderr
    assert "a new store" not in reynard("keys", "create", "--data", str(tmp_path / "data")).stderr


def test_what_is_made_is_its_owners_alone(tmp_path: Path) -> None:
    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    def look() -> list[str]:
        result = reynard("doctor", "--json", "--data", str(tmp_path / "data"), REYNARD_SERVER__PORT="0")
        return [finding["what"] for finding in json.loads(result.stdout) if not finding["good"]]

    with running(Gateway(tmp_path)):
        data = tmp_path / "data"
        assert mode(data) == 0o700
        assert {mode(path) & 0o077 for path in data.iterdir() if path.name.startswith("reynard.db")} == {0}
        assert "access" not in look()
        data.chmod(0o755)
        (data / "reynard.db").chmod(0o644)
        assert "access" in look()
        reynard("keys", "create", "--data", str(data))
        assert mode(data) == 0o755  # the operator's own choice


@pytest.mark.parametrize("url", ["foo", "localhost:8080", "ftp://x", "http://", "http://x:port", "http://x?a=b"])
def test_an_address_that_is_none_is_told(url: str) -> None:
    result = reynard("models", REYNARD_URL=url, REYNARD_API_KEY="sk-x")
    assert result.returncode == 2
    assert f"`{url}` is no address of a gateway" in result.stderr


@pytest.mark.parametrize("end", ["/", "/v1", "/v1/"])
def test_an_address_may_end_as_others_want_it(gateway: Gateway, end: str) -> None:
    result = reynard("models", REYNARD_URL=gateway.url + end, REYNARD_API_KEY=gateway.key)
    assert (result.returncode, "gpt-5.5" in result.stdout) == (0, True)
