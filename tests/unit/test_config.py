from collections.abc import Mapping
from pathlib import Path

import pytest

from reynard import config
from reynard.config import ChannelSettings, ConfigError, Fault, Settings

LAB = '[[channels]]\nname = "lab"\ndialect = "simulated"\nmodels = ["gpt-5.5"]\n'
ALL_KEYS = dict.fromkeys(("OPENAI_API_KEY", "MOONSHOT_API_KEY", "NVIDIA_API_KEY", "ANTHROPIC_API_KEY"), "k")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "reynard.toml"


def load(file: Path, text: str, environment: Mapping[str, str] | None = None) -> Settings:
    file.write_text(text, "utf-8")
    return config.load(file, environment or {})


def faults(file: Path, text: str, environment: Mapping[str, str] | None = None) -> list[Fault]:
    with pytest.raises(ConfigError) as caught:
        load(file, text, environment)
    assert str(caught.value).splitlines() == [str(fault) for fault in caught.value.faults]
    return caught.value.faults


def named(settings: Settings) -> dict[str, ChannelSettings]:
    return {channel.name: channel for channel in settings.channels}


def test_with_no_settings_at_all_it_has_the_documented_ones() -> None:
    settings = config.load(None, {})
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8080)
    assert (settings.server.data_dir, settings.server.max_body_bytes) == ("./reynard-data", 64_000_000)
    assert (settings.server.public_url, settings.server.cors_origins) == ("http://localhost:8080", ("*",))
    assert (settings.store.url, settings.chunks.url, settings.chunks.retention_s) == ("sqlite", "memory", 900)


def test_a_channel_has_the_documented_limits(file: Path) -> None:
    lab = named(load(file, LAB))["lab"]
    assert (lab.priority, lab.weight, lab.concurrency) == (0, 1, 64)
    assert (lab.connect_timeout_s, lab.first_byte_timeout_s) == (5, 60)
    assert (lab.idle_timeout_s, lab.total_timeout_s) == (60, 1800)


def test_an_empty_file_is_no_settings_at_all(file: Path) -> None:
    assert load(file, "") == config.load(None, {})


def test_a_shipped_channel_is_in_force_only_with_its_key() -> None:
    assert "openai" not in named(config.load(None, {}))
    assert "openai" not in named(config.load(None, {"OPENAI_API_KEY": ""}))
    with_key = named(config.load(None, {"OPENAI_API_KEY": "k"}))
    assert "openai" in with_key
    assert "moonshot" not in with_key


def test_every_shipped_channel_carries_models_of_the_catalogue() -> None:
    settings = config.load(None, {**ALL_KEYS, "GEMINI_API_KEY": "k"})
    known = {model.id for model in settings.models}
    assert {mapped.id for c in settings.channels for mapped in config.channel_of(c, settings.models).models} <= known


def test_the_file_changes_what_it_says_and_no_more(file: Path) -> None:
    settings = load(file, "[server]\nport = 1\n[chunks]\nretention_s = 5.5\n")
    assert (settings.server.port, settings.server.host, settings.chunks.retention_s) == (1, "127.0.0.1", 5.5)


def test_a_shipped_model_is_changed_in_part(file: Path) -> None:
    shipped = {model.id: model for model in config.load(None, {}).models}
    changed = load(file, '[[models]]\nid = "gpt-5.5"\nprice = { input = 2.5 }\n')
    models = {model.id: model for model in changed.models}
    assert models["gpt-5.5"].price.input == 2.5
    assert models["gpt-5.5"].max_tokens == shipped["gpt-5.5"].max_tokens
    assert models["gpt-5.5"].capabilities == shipped["gpt-5.5"].capabilities
    assert {name: model for name, model in models.items() if name != "gpt-5.5"} == {
        name: model for name, model in shipped.items() if name != "gpt-5.5"
    }


def test_a_shipped_channel_is_changed_in_part(file: Path) -> None:
    environment = {"OPENAI_API_KEY": "k"}
    shipped = named(config.load(None, environment))["openai"]
    changed = named(load(file, '[[channels]]\nname = "openai"\nweight = 7\n', environment))["openai"]
    assert (changed.weight, changed.base_url, changed.models) == (7, shipped.base_url, shipped.models)
    assert changed.quirks == shipped.quirks


def test_a_new_model_and_a_channel_for_it_need_no_code(file: Path) -> None:
    settings = load(
        file,
        '[[models]]\nid = "mine"\ncapabilities = ["text", "file"]\n'
        '[[channels]]\nname = "own"\ndialect = "openai"\nbase_url = "http://localhost:1/v1"\n'
        'models = [{ id = "mine", upstream = "m-7b" }, "gpt-5.5"]\n',
    )
    channel = config.channel_of(named(settings)["own"], settings.models)
    assert [(model.id, model.upstream) for model in channel.models] == [("mine", "m-7b"), ("gpt-5.5", "gpt-5.5")]
    assert "mine" in {model.id for model in settings.models}


def with_provider(provider: str, more: str = "") -> str:
    return f'[[channels]]\nname = "lab"\nprovider = "{provider}"\nmodels = ["gpt-5.5"]\n{more}'


def test_a_channel_takes_from_its_provider_what_it_does_not_say(file: Path) -> None:
    lab = named(load(file, with_provider("ollama")))["lab"]
    assert (lab.dialect, lab.base_url, lab.api_key) == ("openai", "http://localhost:11434/v1", None)
    assert (lab.quirks.thoughts, lab.quirks.fetches) == ("reasoning", ())


def test_a_channel_outweighs_its_provider_quirk_by_quirk(file: Path) -> None:
    more = 'base_url = "http://other:1/v1"\napi_key = "k"\nquirks = { limit = "max_completion_tokens" }\n'
    lab = named(load(file, with_provider("ollama", more)))["lab"]
    assert (lab.base_url, lab.api_key) == ("http://other:1/v1", "k")
    assert (lab.quirks.limit, lab.quirks.thoughts) == ("max_completion_tokens", "reasoning")


def test_an_operator_adds_a_provider(file: Path) -> None:
    row = '[[providers]]\nid = "mine"\ndialect = "openai"\nbase_url = "http://mine/v1"\nauth = "api-key"\n'
    lab = named(load(file, row + with_provider("mine")))["lab"]
    assert (lab.base_url, lab.auth) == ("http://mine/v1", "api-key")


def test_an_operator_changes_a_shipped_provider_in_part(file: Path) -> None:
    row = '[[providers]]\nid = "ollama"\nbase_url = "http://lab:1/v1"\nquirks = { developer = true }\n'
    settings = load(file, row + with_provider("ollama"))
    lab = named(settings)["lab"]
    assert (lab.base_url, lab.quirks.developer, lab.quirks.thoughts) == ("http://lab:1/v1", True, "reasoning")
    (ollama,) = [provider for provider in settings.providers if provider.id == "ollama"]
    assert (ollama.base_url, ollama.quirks) == (lab.base_url, lab.quirks)


def test_a_shipped_channel_follows_a_changed_provider(file: Path) -> None:
    row = '[[providers]]\nid = "openai"\nbase_url = "https://proxy.example/v1"\n'
    assert named(load(file, row, {"OPENAI_API_KEY": "k"}))["openai"].base_url == "https://proxy.example/v1"


@pytest.mark.parametrize("provider", [row.id for row in config.load(None, {}).providers])
def test_every_shipped_provider_makes_a_channel(file: Path, provider: str) -> None:
    (row,) = [row for row in config.load(None, {}).providers if row.id == provider]
    address = row.base_url.replace("LOCATION", "europe-west1").replace("PROJECT", "p").replace("RESOURCE", "r")
    key = row.api_key.removeprefix("env:") if isinstance(row.api_key, str) else "NONE"
    lab = named(load(file, with_provider(provider, f'base_url = "{address}"\n'), {key: "k"}))["lab"]
    assert (lab.dialect, lab.path, lab.auth, lab.quirks) == (row.dialect, row.path, row.auth, row.quirks)


@pytest.mark.parametrize(
    ("text", "line", "key", "problem"),
    [
        (with_provider("olama"), 3, "channels[1].provider", "did you mean `ollama`?"),
        (with_provider("azure", 'api_key = "k"\n'), 1, "channels[1].base_url", "in place of RESOURCE"),
        (with_provider("vertex-gemini"), 1, "channels[1].base_url", "in place of LOCATION, PROJECT"),
        (with_provider("groq"), 1, "channels[1].api_key", "GROQ_API_KEY"),
        (
            '[[providers]]\nid = "mine"\ndialect = "openai"\nbase_url = 5\n'
            + with_provider("mine", 'base_url = "http://mine"\n'),
            4,
            "providers[1].base_url",
            "expected str",
        ),
        (
            '[[providers]]\nid = "mine"\ndialect = "openai"\nquirks = { limt = "max_tokens" }\n'
            + with_provider("mine", 'base_url = "http://mine"\n'),
            4,
            "providers[1].quirks.limt",
            "did you mean `limit`?",
        ),
        ('[[providers]]\nid = "mine"\n', 1, "providers[1].dialect", "is missing"),
        ('[[providers]]\nid = "ollama"\n' * 2, 4, "providers[2].id", "taken by another row"),
    ],
)
def test_a_fault_of_providers_is_told_once(file: Path, text: str, line: int, key: str, problem: str) -> None:
    (fault,) = faults(file, text)
    assert (fault.where, fault.key) == (f"{file}:{line}", key)
    assert problem in fault.problem


def test_every_fault_is_told_at_once_with_its_line_and_key(file: Path) -> None:
    text = """[server]
prot = 8080
host = 5
port = 70000

[engin]
x = 1

[[models]]
id = "mine"
capabilites = ["text"]

[[channels]]
name = "a"
dialect = "openia"
models = ["gpt-5.5"]
quirks = { limt = "max_tokens" }

[[channels]]
dialect = "openai"
models = []
weight = 0
"""
    found = {(fault.where, fault.key): fault.problem for fault in faults(file, text, {"REYNARD_SERVER__POTR": "1"})}
    expected = {
        (f"{file}:2", "server.prot"): "did you mean `port`?",
        (f"{file}:3", "server.host"): "expected str, got int",
        (f"{file}:4", "server.port"): "expected int <= 65535",
        (f"{file}:6", "engin"): "did you mean `engine`?",
        (f"{file}:11", "models[1].capabilites"): "did you mean `capabilities`?",
        (f"{file}:15", "channels[1].dialect"): "it takes openai,",
        (f"{file}:17", "channels[1].quirks.limt"): "did you mean `limit`?",
        (f"{file}:19", "channels[2].name"): "is missing",
        (f"{file}:22", "channels[2].weight"): "expected int >= 1",
        ("REYNARD_SERVER__POTR", ""): "did you mean `REYNARD_SERVER__PORT`?",
    }
    assert set(found) == set(expected)
    for place, words in expected.items():
        assert words in found[place]


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        (LAB + "[channels.quirks]\nlimt = 1\n", 6, "channels[1].quirks.limt"),
        (LAB + LAB.replace("lab", "b") + "[channels.simulate]\n\nseed = 'x'\n", 11, "channels[2].simulate.seed"),
        ("# a comment\n\n[ server ]\n  port  =  'x'\n", 4, "server.port"),
        ("server.port = 'x'\n", 1, "server.port"),
        ("server = 5\n", 1, "server"),
        ("[channels]\nname = 'x'\n", 1, "channels"),
        (LAB.replace('["gpt-5.5"]', '["gpt-5.5",\n"gtp-5.4"]'), 4, "channels[1].models"),
    ],
)
def test_a_fault_is_told_with_the_line_of_its_key(file: Path, text: str, line: int, key: str) -> None:
    assert [(fault.where, fault.key) for fault in faults(file, text)] == [(f"{file}:{line}", key)]


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        (LAB.replace("gpt-5.5", "gtp-5.5"), "channels[1].models", "did you mean `gpt-5.5`?"),
        (LAB + LAB, "channels[2].name", "taken by another row"),
        ('[[models]]\nid = "x"\n[[models]]\nid = "x"\n', "models[2].id", "taken by another row"),
        (LAB.replace("simulated", "openai"), "channels[1].base_url", "http(s) address"),
        (LAB + 'api_key = "env:NOT_SET"\n', "channels[1].api_key", "NOT_SET"),
        (LAB + 'api_key = ["literal", "env:NOT_SET"]\n', "channels[1].api_key", "NOT_SET"),
        (LAB + 'api_key = "file:/nowhere/at/all"\n', "channels[1].api_key", "cannot be read"),
        (LAB + 'auth = "google"\napi_key = "{}"\n', "channels[1].api_key", "service_account"),
        (LAB + 'auth = "google"\napi_key = ["a", "b"]\n', "channels[1].api_key", "a channel for each"),
        (LAB + 'auth = "none"\napi_key = "a"\n', "channels[1].api_key", "no use"),
        (LAB + 'path = "/{modle}"\n', "channels[1].path", "{model}"),
        (LAB + 'path = "v1"\n', "channels[1].path", "begin with /"),
        (LAB + 'path = "/{"\n', "channels[1].path", "{model}"),
        ("[retention]\ntasks_s = 34560001\n", "retention.tasks_s", "must not exceed ledger_s"),
        ("[retention]\nledger_s = 5\n", "retention.ledger_s", "must not exceed ledger_s"),
    ],
)
def test_a_contradiction_is_told(file: Path, text: str, key: str, problem: str) -> None:
    (fault,) = faults(file, text)
    assert fault.key == key
    assert problem in fault.problem


def test_contradictions_are_told_together(file: Path) -> None:
    wrong = LAB.replace("simulated", "openai").replace("gpt-5.5", "nothing") + 'api_key = "env:NOT_SET"\n'
    assert {fault.key for fault in faults(file, wrong + wrong.replace("lab", "b"))} == {
        f"channels[{number}].{key}" for number in (1, 2) for key in ("models", "base_url", "api_key")
    }


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("SERVER__PORT", "9090", 9090),
        ("SERVER__HOST", "0.0.0.0", "0.0.0.0"),
        ("SERVER__HOST", '"quoted"', "quoted"),
        ("SERVER__HOST", "7", "7"),
        ("SERVER__CORS_ORIGINS", '["https://a", "https://b"]', ("https://a", "https://b")),
        ("CHUNKS__RETENTION_S", "1.5", 1.5),
        ("CHUNKS__RETENTION_S", "2", 2),
        ("SERVER__MAX_BODY_BYTES", "64_000", 64_000),
    ],
)
def test_the_environment_outweighs_the_file(file: Path, variable: str, text: str, value: object) -> None:
    settings = load(file, "[server]\nport = 1\nhost = 'x'\n", {f"REYNARD_{variable}": text})
    section, key = variable.lower().split("__")
    assert getattr(getattr(settings, section), key) == value


@pytest.mark.parametrize(
    ("variable", "text", "problem"),
    [
        ("REYNARD_SERVER__PORT", "http", "expected int, got str"),
        ("REYNARD_SERVER__PORT", "-1", "expected int >= 0"),
        ("REYNARD_SERVER__PROT", "1", "did you mean `REYNARD_SERVER__PORT`?"),
        ("REYNARD_NOTHING__AT_ALL", "1", "is not a setting"),
        ("REYNARD_CHANNELS__NAME", "x", "is not a setting"),
        ("REYNARD_CHUNKS__URL", "disk", "expected str matching regex"),
    ],
)
def test_a_wrong_variable_is_told_by_its_name(variable: str, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(None, {variable: text})
    (fault,) = caught.value.faults
    assert fault.where == variable
    assert problem in fault.problem


@pytest.mark.parametrize("variable", ["REYNARD_URL", "REYNARD_API_KEY", "SERVER__PORT", "REYNARDSERVER__PORT"])
def test_other_variables_are_none_of_its_business(variable: str) -> None:
    assert config.load(None, {variable: "x"}) == config.load(None, {})


def test_a_variable_into_a_broken_section_is_told_as_that(file: Path) -> None:
    (fault,) = faults(file, "server = 5\n", {"REYNARD_SERVER__PORT": "1"})
    assert fault.key == "server"


def test_keys_come_from_the_environment_a_file_or_as_they_stand(file: Path, tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("from-file\n")
    text = LAB + f'api_key = ["env:MY_KEY", "file:{secret}", "sk-as-it-stands"]\n'
    environment = {"MY_KEY": "from-environment"}
    channel = named(load(file, text, environment))["lab"]
    assert config.secrets_of(channel, environment) == ("from-environment", "from-file", "sk-as-it-stands")


@pytest.mark.parametrize(("line", "count"), [("", 0), ('api_key = "one"\n', 1), ("api_key = []\n", 0)])
def test_a_channel_may_have_no_key(file: Path, line: str, count: int) -> None:
    assert len(config.secrets_of(named(load(file, LAB + line))["lab"], {})) == count


def test_a_key_is_in_no_fault(file: Path) -> None:
    text = LAB + 'api_key = "sk-very-secret"\nweight = 0\nbase_url = 7\n'
    assert "very-secret" not in "\n".join(map(str, faults(file, text)))


@pytest.mark.parametrize(
    ("raw", "problem"), [(b"[server\n", "is not TOML"), (b"\xff", "not UTF-8"), (b"a = 1\na = 2\n", "is not TOML")]
)
def test_a_file_that_cannot_be_read_says_why(file: Path, raw: bytes, problem: str) -> None:
    file.write_bytes(raw)
    with pytest.raises(ConfigError) as caught:
        config.load(file, {})
    assert str(file) in str(caught.value)
    assert problem in str(caught.value)


def test_a_file_that_is_not_there_says_so(file: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(file, {})


@pytest.mark.parametrize(
    ("section", "line", "key"),
    [
        ("files", 'url = "s3://"', "files.url"),
        ("files", 'url = "gs://bucket"', "files.url"),
        ("files", 'url = "diskette"', "files.url"),
        ("server", 'public_url = "gate.example"', "server.public_url"),
        ("server", 'public_url = "https:///"', "server.public_url"),
    ],
)
def test_addresses_that_lead_nowhere_are_faults(file: Path, section: str, line: str, key: str) -> None:
    [fault] = faults(file, f"[{section}]\n{line}\n")
    assert (fault.key, fault.where) == (key, f"{file}:2")
