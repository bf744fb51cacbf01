"""Writes what is generated in docs/, between its markers: docs/providers.md and docs/providers.zh.md from the shipped
rows, docs/reliability.md from the scenarios that the tests go through.

`make docs` runs it; `tests/meta` fails when a page is stale. What a provider refuses is asked of
its codec, parameter by parameter.
"""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args

from tests import faults

from reynard import config
from reynard.bootstrap.wiring import codec_of
from reynard.config import ChannelSettings, Provider, Settings
from reynard.core import forms
from reynard.core.channels import Channel, Dialect
from reynard.core.formats import Kind

HERE: Final = Path(__file__).parent
SAMPLES: Final[dict[str, Any]] = json.loads((HERE.parent / "tests" / "golden" / "parameters.json").read_text("utf-8"))
PAGES: Final = {"en": HERE / "providers.md", "zh": HERE / "providers.zh.md"}
RELIABILITY: Final = HERE / "reliability.md"
KINDS: Final[tuple[Kind, ...]] = ("image", "video", "audio", "file")

EXAMPLES: Final[dict[str, tuple[str, str]]] = {
    "openai": ("gpt-5.5", "gpt-5.5"),
    "azure": ("gpt-5.5", "my-deployment"),
    "azure-deployments": ("gpt-5.5", "my-deployment"),
    "moonshot": ("kimi-k2.6", "kimi-k2.6"),
    "nvidia": ("nemotron-3-nano-omni", "nvidia/nemotron-3-nano-omni-30b-a3b-reasoning"),
    "deepseek": ("deepseek-v4-pro", "deepseek-v4-pro"),
    "openrouter": ("claude-opus-4-7", "anthropic/claude-opus-4.7"),
    "groq": ("gpt-oss-120b", "openai/gpt-oss-120b"),
    "mistral": ("mistral-small", "mistral-small-latest"),
    "xai": ("grok-4.3", "grok-4.3"),
    "together": ("kimi-k2.6", "moonshotai/Kimi-K2.6"),
    "fireworks": ("kimi-k2", "accounts/fireworks/models/kimi-k2-instruct-0905"),
    "ollama": ("gpt-oss-20b", "gpt-oss:20b"),
    "vllm": ("qwen3-8b", "Qwen/Qwen3-8B"),
    "llama.cpp": ("my-model", "my-model"),
    "anthropic": ("claude-opus-4-7", "claude-opus-4-7"),
    "gemini": ("gemini-2.5-pro", "gemini-2.5-pro"),
    "vertex-gemini": ("gemini-2.5-pro", "gemini-2.5-pro"),
    "vertex-anthropic": ("claude-opus-4-7", "claude-opus-4-7"),
}
"""A model of each provider: this gateway's name for it, and the provider's."""

WORDS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "head": "| provider | dialect | key | sound, video | reads by address | limit | to think | refused by name |",
        "models": "| model | takes | at most | formats | `max_tokens` |",
        "required": "required in the custom form",
        "none": "nothing",
        "no key": "none",
        "google": "a Google account",
        "later": "not asked yet",
    },
    "zh": {
        "head": "| 供应商 | 方言 | 密钥 | 声音、视频 | 自行按地址读取 | 长度上限 | 思考 | 按名拒绝的参数 |",
        "models": "| 模型 | 支持 | 数量上限 | 格式 | `max_tokens` |",
        "required": "自定义形式中必填",
        "none": "无",
        "no key": "无",
        "google": "Google 账号",
        "later": "尚未查询",
    },
}
THINKS: Final = {
    "effort": "`reasoning_effort`",
    "thinking": "`thinking.type`",
    "template": "`chat_template_kwargs`",
    "object": "`reasoning`",
    "switch": "`reasoning.enabled`",
    "none": "",
}


def ready_row(provider: Provider, catalogue: set[str]) -> str:
    """A channel of the provider, and a model for it where the catalogue has none of that name."""
    model, upstream = EXAMPLES[provider.id]
    carried = f'"{model}"' if model == upstream else f'{{ id = "{model}", upstream = "{upstream}" }}'
    lines = [] if model in catalogue else ["[[models]]", f'id = "{model}"', 'capabilities = ["text"]', ""]
    lines += ["[[channels]]", f'name = "my-{provider.id.replace(".", "-")}"', f'provider = "{provider.id}"']
    if "RESOURCE" in provider.base_url or "LOCATION" in provider.base_url:
        lines.append(f'base_url = "{provider.base_url}"')
    if provider.auth == "google":
        lines.append('api_key = "file:/run/secrets/account.json"')
    return "\n".join([*lines, f"models = [{carried}]"])


def channel_of(provider: Provider, settings: Settings) -> Channel:
    """The channel that the ready row makes, with its model as the catalogue has it."""
    row = ready_row(provider, {model.id for model in settings.models})
    row = row.replace("LOCATION", "l").replace("PROJECT", "p").replace("RESOURCE", "r")
    row = re.sub(r'api_key = "file:.*"\n', "", row)  # there is no such file here, and none is needed
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(row)
        file.flush()
        loaded = config.load(Path(file.name), _keys(provider))
    written = next(channel for channel in loaded.channels if channel.name.startswith("my-"))
    return config.channel_of(written, loaded.models)


def _keys(row: Provider | ChannelSettings) -> dict[str, str]:
    return {row.api_key[4:]: "k"} if isinstance(row.api_key, str) and row.api_key.startswith("env:") else {}


def refused(channel: Channel) -> list[str]:
    """Every parameter that the channel has no word for, asked one by one."""
    codec, (model,) = codec_of(channel.dialect), channel.models
    body = {"model": model.id, "messages": [{"role": "user", "content": "Hello"}]}
    asked = {
        field: forms.parse(json.dumps({**body, field: sample}).encode()).generation for field, sample in SAMPLES.items()
    }
    return [field for field, generation in asked.items() if codec.unsupported(generation, channel) is not None]


def table(settings: Settings, words: Mapping[str, str]) -> Iterator[str]:
    """A line for every provider."""
    yield words["head"]
    yield "|" + "---|" * (words["head"].count("|") - 1)
    for provider in settings.providers:
        yield f"| {' | '.join(_cells(provider, settings, words))} |"


def _cells(provider: Provider, settings: Settings, words: Mapping[str, str]) -> Iterator[str]:
    yield f"`{provider.id}`"
    yield provider.dialect
    yield (
        words["google"]
        if provider.auth == "google"
        else ", ".join(f"`{key}`" for key in _keys(provider)) or words["no key"]
    )
    if provider.dialect not in get_args(Dialect):
        yield from ["", "", "", "", words["later"]]
        return
    channel = channel_of(provider, settings)
    fetched = codec_of(provider.dialect).intake(channel).fetches
    openai = provider.dialect == "openai"
    yield f"`{provider.quirks.audio}`, `{provider.quirks.video}`" if openai else ""
    yield ", ".join(kind for kind in KINDS if kind in fetched) or words["none"]
    yield f"`{provider.quirks.limit}`" if openai else ""
    yield THINKS[provider.quirks.reasoning] if openai else ""
    yield ", ".join(f"`{field}`" for field in refused(channel)) or words["none"]


def models(settings: Settings, words: Mapping[str, str]) -> Iterator[str]:
    """A line for every model of the catalogue."""
    yield words["models"]
    yield "|" + "---|" * (words["models"].count("|") - 1)
    for model in settings.models:
        most = [f"{kind} {count}" for kind, count in model.max_media.items()]
        formats = [f"{kind}: {', '.join(known)}" for kind, known in model.formats.items()]
        rule = model.max_tokens
        tokens = [words["required"]] if rule.required else []
        tokens += [f"≥ {rule.minimum}"] if rule.minimum > 1 else []
        cells = (f"`{model.id}`", ", ".join(model.ordered_capabilities), ", ".join(most), "; ".join(formats))
        yield f"| {' | '.join(cells)} | {', '.join(tokens)} |"


def rows(settings: Settings) -> Iterator[str]:
    """A ready row for every provider, as a file."""
    catalogue = {model.id for model in settings.models}
    yield "```toml"
    yield "\n\n".join(ready_row(provider, catalogue) for provider in settings.providers)
    yield "```"


def page(text: str, language: str) -> str:
    """`text`, with what is generated in it anew."""
    settings = config.load(None, {})
    words = WORDS[language]
    made = {"table": table(settings, words), "models": models(settings, words), "rows": rows(settings)}
    return filled(text, made)


def reliability(text: str) -> str:
    """The same of docs/reliability.md."""
    return filled(text, {"faults": faults.rows()})


def filled(text: str, made: Mapping[str, Iterator[str]]) -> str:
    """`text`, with what stands between its markers exchanged."""
    for name, content in made.items():
        begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n\n{chr(10).join(content)}\n\n{end}{rest.split(end)[1]}"
    return text


def main() -> None:
    """Writes the pages."""
    for language, file in PAGES.items():
        file.write_text(page(file.read_text("utf-8"), language), "utf-8")
    RELIABILITY.write_text(reliability(RELIABILITY.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
