"""Claude and Gemini on Vertex AI, end to end: the shipped rows, a service account, Google's tokens and paths."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.google_tokens import Tokens, account
from tests.processes import Gateway, Upstream, running, text_of

TOKEN = "ya29.for-both"
PNG = "data:image/png;base64,iVBORw0KGgo="


@pytest.fixture(scope="module")
def vertex(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    with running(Upstream(tmp_path_factory.mktemp("vertex"), TOKEN)) as process:
        yield process


@pytest.fixture(scope="module")
def tokens() -> Iterator[Tokens]:
    server = Tokens(rsa.generate_private_key(public_exponent=65537, key_size=2048), TOKEN)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def gateway(vertex: Upstream, tokens: Tokens, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("gateway")
    written = folder / "account.json"
    written.write_text(account(tokens.key, f"http://127.0.0.1:{tokens.server_port}/token"))
    base_url = f"{vertex.url}/v1/projects/p/locations/europe-west1"
    config = "".join(
        f'[[channels]]\nname = "{provider}"\nprovider = "{provider}"\nbase_url = "{base_url}"\n'
        f'api_key = "file:{written}"\nmodels = ["{model}"]\n'
        for provider, model in (("vertex-anthropic", "claude-opus-4-6"), ("vertex-gemini", "gemini-2.5-pro"))
    )
    with running(Gateway(folder, config)) as process:
        yield process


@pytest.mark.parametrize(("model", "wire"), [("claude-opus-4-6", "anthropic"), ("gemini-2.5-pro", "gemini")])
@pytest.mark.parametrize("stream", [False, True])
def test_a_model_on_vertex_answers(
    gateway: Gateway, vertex: Upstream, tokens: Tokens, model: str, wire: str, stream: bool
) -> None:
    content = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": PNG}}]
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 100}
    with gateway.client() as client:
        response = client.post("/v1/chat/completions", json={**body, "stream": stream})
    assert response.status_code == 200, response.text
    if stream:
        lines = [line[6:] for line in response.text.splitlines() if line.startswith("data: {")]
        assert text_of([json.loads(line) for line in lines])
    else:
        assert response.json()["choices"][0]["message"]["content"]
    state = vertex.state()
    assert state["refused"] == []
    seen = state["seen"][-1]
    assert (seen["wire"], seen["platform"], seen["model"]) == (wire, "vertex", model)
    assert [item["kind"] for item in seen["media"]] == ["image"]
    assert tokens.calls <= 2  # one for each channel, however many requests
