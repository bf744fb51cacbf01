"""The upstream that is never the bottleneck: nginx, which answers every chat completion with the same bytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench.peers import nginx, process
from bench.subject import CHAT, MODEL

# As api.openai.com answers (platform.openai.com/docs/api-reference/chat/object), of about 600 bytes.
ANSWER = msgspec.json.encode(
    {
        "id": "chatcmpl-CkHw2mVJd0sYyR1o8nQ4bTfXzEaGu",
        "object": "chat.completion",
        "created": 1764000000,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hello! It is good to hear from you. What would you like to talk about today?",
                    "refusal": None,
                    "annotations": [],
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 20,
            "total_tokens": 30,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        },
        "service_tier": "default",
    }
).decode()

# `return` sends the answer and discards the body as it comes: whatever its size, it is never kept.
CONTENT = """\
    server {{
        listen 127.0.0.1:{port} backlog=8192;
        location = {path} {{
            default_type application/json;
            return 200 '{answer}';
        }}
    }}
"""


@contextmanager
def start(core: int, folder: Path) -> Iterator[str]:
    """Its URL, without `/v1`. Raises `Unavailable`."""
    port = process.free_port()
    with nginx.serving(core, CONTENT.format(port=port, path=CHAT, answer=ANSWER), folder) as running:
        url = f"http://127.0.0.1:{port}"
        running.answers(url, {}, within_s=10)
        yield url
