"""What Google's pieces amount to in the words of OpenAI: the chunks of a stream; a whole answer is one piece."""

import hashlib
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec.structs import fields

from reynard.core.chat import Chunk, ChunkChoice, Delta, FunctionDelta, ToolCallDelta, Usage
from reynard.core.errors import TaskErrorCode
from reynard.core.reasoning import GEMINI, sealed
from reynard.providers.bodies import decoded
from reynard.providers.counts import count, mapping
from reynard.providers.failures import cut_short, failure, garbled
from reynard.providers.gemini.wire import (
    WireBlob,
    WireCall,
    WireCandidate,
    WireFeedback,
    WireLogprobs,
    WirePart,
    WirePiece,
    WireToken,
    WireUsage,
)
from reynard.providers.google_errors import of_event

Json = dict[str, Any]

FINISH: Final = {
    "STOP": "stop",
    "NO_IMAGE": "stop",
    "FINISH_REASON_UNSPECIFIED": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
}
"""OpenAI's word for a finish reason. Whatever is not here, nor in `FAILS`, cut the answer short for what is in it:
SAFETY, RECITATION, LANGUAGE, BLOCKLIST, PROHIBITED_CONTENT, SPII, IMAGE_SAFETY, MODEL_ARMOR, OTHER, and what is new."""
FILTERED: Final = "content_filter"

FAILS: Final[dict[str, TaskErrorCode]] = {
    "MALFORMED_FUNCTION_CALL": "upstream_error",
    "MALFORMED_RESPONSE": "upstream_error",
    "UNEXPECTED_TOOL_CALL": "upstream_error",
    "TOO_MANY_TOOL_CALLS": "upstream_error",
    "MISSING_THOUGHT_SIGNATURE": "invalid_parameters",
    "PUP_LIMITED_DISABLED": "upstream_auth_failed",
}
"""Ends that leave no answer: the model wrote what is no call, the request was wrong, or the account is barred."""

MOST_CANDIDATES: Final = 128
LEAST_LOGPROB: Final = -9999.0  # OpenAI's own stand-in for a token that is very unlikely
LONGEST_ID: Final = 256
_IMAGE: Final = re.compile(r"image/[a-zA-Z0-9.+-]{1,64}")
_COUNTS: Final = tuple(field.name for field in fields(WireUsage))

_pieces = msgspec.json.Decoder(WirePiece)


def piece_of(data: bytes) -> WirePiece:
    """A piece as it came. Raises `GenerationError` for an error in its place, or what is none."""
    piece = decoded(_pieces, data)
    if piece.error is not None:
        raise of_event(piece.error)
    return piece


class _Candidate:
    """One candidate under way."""

    __slots__ = ("calls", "ids", "reason")

    def __init__(self) -> None:
        self.calls = 0
        self.ids: set[str] = set()
        self.reason: str | None = None


class Answers:
    """Feed it the pieces of one answer in order."""

    __slots__ = ("_candidates", "_usage")

    def __init__(self) -> None:
        self._candidates: dict[int, _Candidate] = {}
        self._usage = WireUsage()

    @property
    def begun(self) -> bool:
        """Whether there is a candidate."""
        return bool(self._candidates)

    def take(self, piece: WirePiece, raw: bytes) -> Iterator[Chunk]:
        """The chunks in `piece`; `raw` is where it was read. Raises `GenerationError` behind them."""
        _check_feedback(piece.prompt_feedback)
        self._count(piece.usage_metadata)
        for candidate in piece.candidates or ():
            yield from self._candidate(candidate, piece.response_id, raw)

    def end(self, *, whole: bool) -> Iterator[Chunk]:
        """The finish of each candidate, and the usage. Raises `GenerationError` if one has none and is not `whole`."""
        if not whole and any(candidate.reason is None for candidate in self._candidates.values()):
            raise cut_short()
        for index, candidate in sorted(self._candidates.items()):
            finish = FINISH.get(candidate.reason or "STOP", FILTERED)
            if finish == "stop" and candidate.calls:
                finish = "tool_calls"
            yield _chunk(index, Delta(), finish_reason=finish)
        if (usage := _usage(self._usage)) is not None:
            yield Chunk(id="", created=0, model="", choices=[], usage=usage)

    def _candidate(self, said: WireCandidate, response_id: str | None, raw: bytes) -> Iterator[Chunk]:
        index = said.index or 0
        if not 0 <= index < MOST_CANDIDATES:
            raise garbled()
        candidate = self._candidates.get(index)
        if candidate is None:
            candidate = self._candidates[index] = _Candidate()
            yield _chunk(index, Delta(role="assistant", content=""))
        for part in said.content.parts or () if said.content is not None else ():
            delta = _delta(part, candidate, (response_id, raw, index))
            if delta is not None:
                arguments = _held_back(delta)
                yield _chunk(index, delta)
                yield from (_chunk(index, Delta(tool_calls=[piece])) for piece in arguments)
        if said.logprobs_result is not None:
            yield _chunk(index, Delta(), logprobs=_logprobs(said.logprobs_result))
        if said.finish_reason:
            candidate.reason = said.finish_reason
            if said.finish_reason in FAILS:
                raise failure(FAILS[said.finish_reason], said.finish_reason)

    def _count(self, said: Any) -> None:
        """Each count is the latest that was said; what is no number says nothing."""
        told = msgspec.convert(mapping(said), WireUsage)
        for name in _COUNTS:
            if (tokens := count(getattr(told, name))) is not None:
                setattr(self._usage, name, tokens)


def _check_feedback(feedback: WireFeedback | None) -> None:
    if feedback is not None and feedback.block_reason:
        raise failure("content_policy_violation", feedback.block_reason_message or feedback.block_reason)


def _chunk(index: int, delta: Delta, *, logprobs: Json | None = None, finish_reason: str | None = None) -> Chunk:
    choice = ChunkChoice(index=index, delta=delta, logprobs=logprobs, finish_reason=finish_reason)
    return Chunk(id="", created=0, model="", choices=[choice])


def _delta(part: WirePart, candidate: _Candidate, seed: tuple[str | None, bytes, int]) -> Delta | None:
    """A part in OpenAI's words; None for one that says nothing, or shows what was only thought of."""
    signature = part.thought_signature or None
    if part.function_call is not None:
        call = _call(part.function_call, candidate, seed)
        return Delta(tool_calls=[call], reasoning_details=_sealed(signature, call.id))
    details = _sealed(signature)
    if part.thought:
        return Delta(reasoning_content=part.text or None, reasoning_details=details) if part.text or details else None
    image = None if part.inline_data is None else _image(part.inline_data)
    if part.text or image or details:
        return Delta(content=part.text or None, images=image, reasoning_details=details)
    return None


def _sealed(signature: str | None, call_id: str | None = None) -> list[Json] | None:
    return None if signature is None else [sealed(signature, GEMINI, call_id)]


def _call(call: WireCall, candidate: _Candidate, seed: tuple[str | None, bytes, int]) -> ToolCallDelta:
    if not call.name:
        raise garbled()
    position = candidate.calls
    call_id = call.id if call.id and len(call.id) <= LONGEST_ID and call.id not in candidate.ids else None
    call_id = call_id or _made(seed, position)
    candidate.calls += 1
    candidate.ids.add(call_id)
    function = FunctionDelta(name=call.name, arguments=_arguments(call.args))
    return ToolCallDelta(index=position, id=call_id, type="function", function=function)


def _held_back(delta: Delta) -> list[ToolCallDelta]:
    """The arguments of the calls in `delta`, taken out of it: in OpenAI's streams they follow the call."""
    pieces: list[ToolCallDelta] = []
    for call in delta.tool_calls or ():
        if call.function is not None:
            pieces.append(ToolCallDelta(index=call.index, function=FunctionDelta(arguments=call.function.arguments)))
            call.function.arguments = ""
    return pieces


def _made(seed: tuple[str | None, bytes, int], position: int) -> str:
    """An id for a call that came without one: of the response, the candidate, and the call's place in it."""
    response_id, raw, index = seed
    whose = response_id.encode() if response_id else hashlib.sha256(raw).digest()
    return f"call_{hashlib.sha256(b'%b:%d:%d' % (whose, index, position)).hexdigest()[:24]}"


def _arguments(args: msgspec.Raw) -> str:
    """As JSON text, without the white space that only Google's own formatting put there."""
    raw = bytes(args)
    if raw in (b"", b"null"):
        return "{}"
    try:
        text = msgspec.json.format(raw, indent=-1).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise garbled() from None
    if not text.startswith("{"):
        raise garbled()
    return text


def _image(blob: WireBlob) -> list[Json] | None:
    if not blob.data or not _IMAGE.fullmatch(blob.mime_type or ""):
        return None
    return [{"type": "image_url", "image_url": {"url": f"data:{blob.mime_type};base64,{blob.data}"}}]


def _logprobs(said: WireLogprobs) -> Json:
    tops = [top.candidates or [] for top in said.top_candidates or ()]
    chosen = said.chosen_candidates or []
    tops += [[]] * (len(chosen) - len(tops))
    return {
        "content": [
            {**_token(token), "top_logprobs": [_token(other) for other in top]}
            for token, top in zip(chosen, tops, strict=False)
        ]
    }


def _token(token: WireToken) -> Json:
    text = token.token or ""
    told = token.log_probability
    said = LEAST_LOGPROB if told is None or isinstance(told, str) else told  # "-Infinity", as protobuf's JSON has it
    return {"token": text, "logprob": float(max(LEAST_LOGPROB, min(0.0, said))), "bytes": list(text.encode())}


def _usage(said: WireUsage) -> Usage | None:
    """None if nothing was said."""
    prompt = (said.prompt_token_count or 0) + (said.tool_use_prompt_token_count or 0)
    completion = (said.candidates_token_count or 0) + (said.thoughts_token_count or 0)
    if not prompt and not completion:
        return None
    usage = Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=said.total_token_count or prompt + completion,
    )
    if said.cached_content_token_count is not None:
        usage.prompt_tokens_details = {"cached_tokens": said.cached_content_token_count}
    if said.thoughts_token_count is not None:
        usage.completion_tokens_details = {"reasoning_tokens": said.thoughts_token_count}
    return usage
