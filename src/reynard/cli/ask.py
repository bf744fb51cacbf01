"""`reynard ask`."""

import base64
import mimetypes
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from reynard.cli import settings as shared

if TYPE_CHECKING:
    from reynard.client import Client

PATH: Final = "/v1/llm/generations"
LONGEST_PROMPT: Final = 100_000  # of a prompt form (spec section 1)
LONGEST_SYSTEM: Final = 10_000
SMALL_BYTES: Final = 262_144
Files = tuple[str, ...]


@click.command()
@click.argument("model")
@click.argument("prompt", required=False)
@click.option("--image", "images", multiple=True, help="An image: a file or a URL. May be repeated.")
@click.option("--video", "videos", multiple=True, help="A video: a file or a URL. May be repeated.")
@click.option("--audio", "audios", multiple=True, help="Audio: a file or a URL. May be repeated.")
@click.option("--file", "documents", multiple=True, help="A document: a file or a URL. May be repeated.")
@click.option("--system", help="Instructions for the model.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="The most tokens to produce.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole ChatCompletion as JSON.")
@click.option("--no-stream", is_flag=True, help="Print the text when it is complete.")
def ask(
    model: str,
    prompt: str | None,
    images: Files,
    videos: Files,
    audios: Files,
    documents: Files,
    system: str | None,
    max_tokens: int | None,
    as_json: bool,
    no_stream: bool,
) -> None:
    """Ask a model through a running gateway (REYNARD_URL, REYNARD_API_KEY); a piped prompt is read from stdin.

    \b
    Example:
      reynard ask smollm2-135m "Name the capital of France."
      cat notes.txt | reynard ask smollm2-135m --system "Summarise."
    """
    if prompt is None and not sys.stdin.isatty():
        prompt = sys.stdin.read()
    if not prompt:
        raise click.UsageError("give a PROMPT, or pipe one in")
    named = {"image": images, "video": videos, "audio": audios, "file": documents}
    sources = {kind: [_source(given) for given in all_given] for kind, all_given in named.items() if all_given}
    question = {"model": model, "prompt": prompt, "system_prompt": system, "max_tokens": max_tokens}
    shared.run(_ask(question, sources, whole=as_json or no_stream, as_json=as_json))


async def _ask(question: dict[str, Any], sources: dict[str, list[str | Path]], *, whole: bool, as_json: bool) -> None:
    from reynard.client import Client

    client = Client(*shared.gateway_address())
    media = {kind: [await _url(source, client) for source in given] for kind, given in sources.items()}
    body = {**_form(question, media), "sync": True}
    if whole:
        completion = await client.post(PATH, body)
        content = completion["choices"][0]["message"].get("content") or ""
        click.echo(msgspec.json.encode(completion) if as_json else content)
        return
    async for chunk in client.events(PATH, {**body, "stream": True}):
        for choice in chunk["choices"]:
            delta = choice["delta"]
            click.secho(delta.get("reasoning_content") or "", dim=True, nl=False)
            click.echo(delta.get("content") or "", nl=False)
            sys.stdout.flush()
    click.echo()


def _form(question: dict[str, Any], media: dict[str, list[str]]) -> dict[str, Any]:
    """The prompt form that fits, for there the gateway fills in what a model needs; else the custom form."""
    is_short = len(question["prompt"]) <= LONGEST_PROMPT and len(question["system_prompt"] or "") <= LONGEST_SYSTEM
    match media if is_short else None:
        case {"image": images, **rest} if not rest:
            return {**question, "image_urls": images}
        case {"video": videos, **rest} if not rest:
            return {**question, "video_urls": videos}
        case {"audio": [audio], **rest} if not rest:
            return {**question, "audio_url": audio}
        case {} if not media:
            return question
    blocks = [{"type": f"{kind}_url", f"{kind}_url": {"url": url}} for kind, urls in media.items() for url in urls]
    messages = [{"role": "user", "content": [{"type": "text", "text": question["prompt"]}, *blocks]}]
    if question["system_prompt"]:
        messages.insert(0, {"role": "system", "content": question["system_prompt"]})
    return {"model": question["model"], "messages": messages, "max_tokens": question["max_tokens"]}


def _source(given: str) -> str | Path:
    """A URL as it is, a small file as a data URI; a larger one, to be uploaded."""
    if given.startswith(("http://", "https://", "data:")):
        return given
    path = Path(given)
    if not path.is_file():
        raise click.UsageError(f"there is no file {given}")
    if path.stat().st_size > SMALL_BYTES:
        return path
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


async def _url(source: str | Path, client: "Client") -> str:
    return source if isinstance(source, str) else await client.upload(source)
