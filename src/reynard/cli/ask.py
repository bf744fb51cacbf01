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
    media = {"image_url": images, "video_url": videos, "audio_url": audios, "file_url": documents}
    sources = [(kind, _source(given)) for kind, named in media.items() for given in named]
    first = [{"role": "system", "content": system}] if system else []
    shared.run(_ask(model, first, prompt, sources, whole=as_json or no_stream, as_json=as_json))


async def _ask(
    model: str,
    first: list[dict[str, Any]],
    prompt: str,
    sources: list[tuple[str, str | Path]],
    *,
    whole: bool,
    as_json: bool,
) -> None:
    from reynard.client import Client

    client = Client(*shared.gateway_address())
    blocks = [{"type": kind, kind: {"url": await _url(source, client)}} for kind, source in sources]
    user = {"role": "user", "content": [{"type": "text", "text": prompt}, *blocks] if blocks else prompt}
    body = {"model": model, "messages": [*first, user]}
    if whole:
        completion = await client.post("/v1/chat/completions", body)
        content = completion["choices"][0]["message"].get("content") or ""
        click.echo(msgspec.json.encode(completion) if as_json else content)
        return
    async for chunk in client.events("/v1/chat/completions", {**body, "stream": True}):
        for choice in chunk["choices"]:
            delta = choice["delta"]
            click.secho(delta.get("reasoning_content") or "", dim=True, nl=False)
            click.echo(delta.get("content") or "", nl=False)
            sys.stdout.flush()
    click.echo()


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
