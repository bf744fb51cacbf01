"""Anthropic's Messages API in front of any model: https://platform.claude.com/docs/en/api/messages.

Pure translation: a request to a Generation, a ChatCompletion to a message, chunks to events. What the shape of a chat
cannot keep:

- the order of texts among thoughts and tool calls in one assistant turn: thoughts come first, then texts, then calls;
- a text in front of a tool result in one user turn: results come first, as Anthropic wants them;
- `cache_control` of a tool call: OpenAI Chat has no place for it;
- which stop sequence ended an answer: the stop reason is `end_turn`;
- log probabilities and annotations of an answer.
"""

from reynard.core.surfaces.messages.answer import MessageView, message
from reynard.core.surfaces.messages.count import TokenCount
from reynard.core.surfaces.messages.request import Asked, lighter, parse, parse_count, reworded
from reynard.core.surfaces.messages.stream import EventTranslator
from reynard.core.surfaces.messages.wire import CountRequest, MessagesRequest

__all__ = [
    "Asked",
    "CountRequest",
    "EventTranslator",
    "MessageView",
    "MessagesRequest",
    "TokenCount",
    "lighter",
    "message",
    "parse",
    "parse_count",
    "reworded",
]
