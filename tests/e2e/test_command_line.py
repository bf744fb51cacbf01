"""`reynard`, as people and scripts use it."""

import base64
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from tests import forks
from tests.integration.test_answers import submit, wait_for
from tests.processes import Gateway, Upstream, channel, running, text_request

COMMANDS = [
    ["serve"],
    ["ask"],
    ["models"],
    ["doctor"],
    ["config"],
    ["config", "check"],
    ["bench"],
    ["keys"],
    *[["keys", name] for name in ("create", "list", "show", "update", "revoke", "rotate")],
    ["webhooks"],
    *[["webhooks", name] for name in ("list", "show", "redeliver", "secret", "rotate")],
    ["tasks"],
    *[["tasks", name] for name in ("list", "show", "cancel", "watch")],
]


def reynard(*words: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REYNARD")}
    return forks.run(*words, environment={**kept, **environment}, stdin=stdin)


@pytest.fixture
def address(gateway: Gateway) -> dict[str, str]:
    return {"REYNARD_URL": gateway.url, "REYNARD_API_KEY": gateway.key}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(words: list[str]) -> None:
    result = reynard(*words, "--help")
    assert result.returncode == 0
    assert "Example:\n    reynard " in result.stdout


def test_ask_streams_the_text(address: dict[str, str]) -> None:
    streamed = reynard("ask", "gpt-5.5", "Hello", **address)
    whole = reynard("ask", "gpt-5.5", "--no-stream", stdin="Hello", **address)
    assert streamed.returncode == whole.returncode == 0
    assert streamed.stdout.strip() == whole.stdout.strip() != ""


@pytest.mark.parametrize("prompt", ["Hello", "Hello " * 20_000])
def test_ask_knows_what_a_model_needs(address: dict[str, str], prompt: str) -> None:
    limit = [] if len(prompt) < 100_000 else ["--max-tokens", "100"]
    asked = reynard("ask", "claude-opus-4-6", "--no-stream", *limit, stdin=prompt, **address)
    assert (asked.returncode, bool(asked.stdout.strip())) == (0, True), asked.stderr


def test_ask_prints_the_completion_as_json(address: dict[str, str], tmp_path: Path, upstream: Upstream) -> None:
    picture = tmp_path / "p.png"
    picture.write_bytes(b"\x89PNG\r\n")
    result = reynard("ask", "gpt-5.5", "Look", "--image", str(picture), "--system", "Be brief.", "--json", **address)
    assert json.loads(result.stdout)["object"] == "chat.completion"
    sent = upstream.state()["bodies"][-1]["messages"]
    assert sent[0] == {"role": "system", "content": "Be brief."}
    assert sent[1]["content"][1]["image_url"]["url"] == "data:image/png;base64,iVBORw0K"


@pytest.mark.parametrize(
    ("words", "environment", "code", "says"),
    [
        (["ask", "gpt-9", "x"], {}, 3, "not supported"),
        (["ask", "gpt-5.5", "x"], {"REYNARD_API_KEY": "sk-no"}, 3, "not valid"),
        (["ask", "gpt-5.5", "x"], {"REYNARD_URL": "http://127.0.0.1:9"}, 1, "no gateway answers"),
        (["ask", "gpt-5.5", "x"], {"REYNARD_API_KEY": ""}, 2, "set REYNARD_API_KEY"),
        (["ask", "gpt-5.5"], {}, 2, "PROMPT"),
        (["ask", "gpt-5.5", "x", "--image", "nowhere.png"], {}, 2, "there is no file"),
        (["tasks", "show", "task-llm-1"], {}, 3, "no task"),
        (["keys", "create", "--expires", "soon"], {}, 2, "is not a time"),
        (["nonsense"], {}, 2, "No such command"),
        (["config", "check", "--config", "nowhere.toml"], {}, 1, "cannot be read"),
    ],
)
def test_errors_are_a_sentence_and_an_exit_code(
    address: dict[str, str], words: list[str], environment: dict[str, str], code: int, says: str
) -> None:
    result = reynard(*words, **{**address, **environment})
    assert result.returncode == code
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_tasks_and_models(address: dict[str, str], gateway: Gateway) -> None:
    with gateway.client() as client:
        task_id = submit(client, text_request()).json()["id"]
        client.get(f"/v1/tasks/{task_id}", params={"wait": 20})
    assert task_id in reynard("tasks", "list", **address).stdout
    assert json.loads(reynard("tasks", "show", task_id, **address).stdout)["id"] == task_id
    assert reynard("tasks", "cancel", task_id, **address).returncode == 3
    assert "gpt-5.5" in reynard("models", **address).stdout
    assert {"id", "object", "capabilities"} == set(json.loads(reynard("models", "--json", **address).stdout)[0])


def test_the_life_of_a_key(gateway: Gateway) -> None:
    def status(key: str) -> int:
        with gateway.client(key) as client:
            return client.get("/v1/models").status_code

    made = json.loads(gateway.command("keys", "create", "--json", "--models", "gpt-5.5", "--expires", "1h").stdout)
    key = made["key"]
    assert status(key) == 200
    with gateway.client(key) as client:
        assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["gpt-5.5"]
        refused = submit(client, text_request(model="gpt-5.4"))
        assert (refused.status_code, refused.json()["error"]["type"]) == (403, "permission_error")
    rotated = gateway.command("keys", "rotate", made["id"]).stdout.splitlines()[-1]
    assert (status(key), status(rotated)) == (401, 200)
    gateway.command("keys", "update", made["id"], "--models", "all", "--expires", "never")
    assert json.loads(gateway.command("keys", "show", made["id"], "--json").stdout)["expires"] is None
    gateway.command("keys", "revoke", made["id"])
    assert status(rotated) == 401
    listed = json.loads(gateway.command("keys", "list", "--json").stdout)
    assert next(row for row in listed if row["id"] == made["id"])["state"] == "revoked"


@pytest.mark.parametrize("header", ["", "Bearer", "Basic x", "Bearer sk-", "Bearer " + "x" * 5000, "Bearer sk-\xe9"])
def test_garbage_keys_are_401(gateway: Gateway, header: str) -> None:
    import httpx2

    response = httpx2.get(f"{gateway.url}/v1/models", headers={b"authorization": header.encode("latin-1")})
    assert (response.status_code, response.json()["error"]["type"]) == (401, "authentication_error")


def test_no_secret_is_kept_in_clear(gateway: Gateway) -> None:
    key = gateway.new_key()
    for file in filter(Path.is_file, (gateway.folder / "data").rglob("*")):
        assert key.encode() not in file.read_bytes()
        assert gateway.key.encode() not in file.read_bytes()
    assert key not in (gateway.folder / "gateway.log").read_text()


def test_a_changed_file_is_loaded_and_a_wrong_one_refused(folder: Path, upstream: Upstream) -> None:
    with running(Gateway(folder, channel(upstream, models='["gpt-5.5"]'))) as gateway, gateway.client() as client:

        def models() -> set[str]:
            return {model["id"] for model in client.get("/v1/models").json()["data"]} - {"smollm2-135m"}

        assert models() == {"gpt-5.5"}
        gateway.config.write_text(channel(upstream, models='["gpt-5.5", "gpt-5.4"]'))
        wait_for(lambda: models() == {"gpt-5.5", "gpt-5.4"})
        gateway.config.write_text("[[channels]]\nnam = 1\n")
        gateway.popen.send_signal(signal.SIGHUP)
        wait_for(lambda: "are refused" in (folder / "gateway.log").read_text())
        assert models() == {"gpt-5.5", "gpt-5.4"}


def test_config_check_tells_every_fault(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(
        '[server]\nprt = 1\nport = "x"\n\n[[channels]]\nname = "a"\ndialect = "opnai"\nmodels = ["gpt-5.5"]\n'
    )
    result = reynard("config", "check", "--config", str(file))
    assert result.returncode == 1
    assert "wrong.toml:2" in result.stderr
    assert "wrong.toml:3" in result.stderr
    assert "wrong.toml:7" in result.stderr
    assert "did you mean `port`" in result.stderr


def test_doctor_finds_what_is_wrong(tmp_path: Path) -> None:
    good = reynard("doctor", "--json", "--data", str(tmp_path / "data"), REYNARD_SERVER__PORT="0")
    assert good.returncode == 0
    assert all(finding["good"] for finding in json.loads(good.stdout))
    (tmp_path / "taken").write_text("a file, not a directory")
    bad = reynard("doctor", "--data", str(tmp_path / "taken" / "data"), REYNARD_SERVER__PORT="0")
    assert bad.returncode == 1
    assert "choose another with --data" in bad.stdout


def test_a_taken_port_is_told(gateway: Gateway, tmp_path: Path) -> None:
    port = gateway.url.rpartition(":")[2]
    result = reynard("serve", "--port", port, "--data", str(tmp_path))
    assert result.returncode == 1
    assert f"port {port}" in result.stderr
    assert "Traceback" not in result.stderr


def test_ask_uploads_what_is_large(
    address: dict[str, str], tmp_path: Path, gateway: Gateway, upstream: Upstream
) -> None:
    picture = tmp_path / 'ü "1".png'
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 300_000)
    result = reynard("ask", "gpt-5.5", "Look", "--image", str(picture), "--json", **address)
    assert json.loads(result.stdout)["object"] == "chat.completion"
    sent = upstream.state()["bodies"][-1]["messages"][0]["content"][1]["image_url"]["url"]
    assert sent == "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
    with gateway.client() as client:
        newest = client.get("/v1/files").json()["data"][0]
    assert (newest["filename"], newest["size"]) == ("ü _1_.png", 300_008)
