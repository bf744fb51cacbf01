"""Every failure that a client can be told of: classes with a stable `code` and `retryable`.

A `RequestError` ends a call before anything is stored, reserved or sent; it is the caller's to mend.
A `GenerationError` is how a task fails (spec section 5: `error.code` of a failed task).
HTTP statuses are no business of this module: `reynard.http.errors` holds the one table.
"""

from typing import ClassVar, Literal, get_args

from reynard.core.limits import Allowance, LimitKind

TaskErrorCode = Literal[
    "content_policy_violation",
    "invalid_parameters",
    "media_fetch_failed",
    "media_too_large",
    "context_length_exceeded",
    "generation_failed_no_content",
    "generation_timeout",
    "upstream_rate_limited",
    "upstream_auth_failed",
    "upstream_error",
    "all_platforms_exhausted",
    "stream_interrupted",
    "server_restarted",
]
TASK_ERROR_CODES: tuple[str, ...] = get_args(TaskErrorCode)

WORTH_A_RETRY: dict[str, bool] = {
    "content_policy_violation": False,
    "invalid_parameters": False,
    "media_fetch_failed": False,
    "media_too_large": False,
    "context_length_exceeded": False,
    "generation_failed_no_content": True,
    "generation_timeout": True,
    "upstream_rate_limited": True,
    "upstream_auth_failed": False,
    "upstream_error": True,
    "all_platforms_exhausted": True,
    "stream_interrupted": True,
    "server_restarted": True,
}
"""Whether the same request, sent again by the client, may well succeed."""


class ReynardError(Exception):
    """The root of the tree. `message` is for people and says what to do; `code` is for programs and never changes."""

    code: ClassVar[str] = "server_error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class RequestError(ReynardError):
    """The request as such cannot be taken."""

    code = "invalid_request_error"


class MalformedBody(RequestError):
    """The body is not JSON at all, or says that it is something else."""

    code = "invalid_json"


class InvalidForm(RequestError):
    """The body fits none of the five request forms, or two of them (spec section 1)."""


class InvalidParam(RequestError):
    """A field has a value that it does not take; `param` is its path, as in `messages[0].content`."""

    code = "invalid_param"


class UnsupportedOptions(RequestError):
    """The upstream has no such parameter; it is refused by name, never dropped (spec section 1)."""

    code = "unsupported_advanced_options"


class ModelNotSupported(RequestError):
    """The model is not in the catalogue."""

    code = "model_not_supported"


class CapabilityMissing(RequestError):
    """The model cannot take a kind of media that the request has."""

    code = "model_not_support_capability"


class RuleViolation(RequestError):
    """The model takes the kind of media, but not that many, that large or in that format."""

    code = "model_rule_violation"


class NoAvailableModel(ReynardError):
    """The catalogue has the model; no usable channel carries it."""

    code = "no_available_model"


class InvalidMultipart(RequestError):
    """The body is no `multipart/form-data`, or ends before its last boundary."""

    code = "invalid_multipart"


class BodyTooLarge(ReynardError):
    """More bytes than `server.max_body_bytes`, or for a file, `files.max_bytes`."""

    code = "request_too_large"


class UnsupportedEncoding(ReynardError):
    """A `Content-Encoding` that is not taken."""

    code = "unsupported_content_encoding"


class AuthenticationFailed(ReynardError):
    """The key is missing, unknown, revoked or expired; which of them is not told."""

    code = "authentication_error"


class PermissionDenied(ReynardError):
    """The key is good, and may not do this."""

    code = "permission_error"


class InsufficientCredits(ReynardError):
    """The key's balance does not cover what the request may cost (spec section 5)."""

    code = "insufficient_quota"


class IdempotencyMismatch(ReynardError):
    """The Idempotency-Key stands for a request with another body (spec section 2.6)."""

    code = "idempotency_mismatch"


class IdempotencyInProgress(ReynardError):
    """The call that the Idempotency-Key stands for is still under way (spec section 2.6)."""

    code = "idempotency_in_progress"


class StorageFull(ReynardError):
    """The file does not fit into what the key may keep (spec section 2.6)."""

    code = "storage_full"


class NotFound(ReynardError):
    """No such thing, or not the caller's."""

    code = "not_found"


class TaskNotFound(NotFound):
    """No such task, or another key's (spec section 2.4)."""

    code = "task_not_found"


class FileNotFound(NotFound):
    """No such file, another key's, or one that is no longer kept."""

    code = "file_not_found"


class DeliveryNotFound(NotFound):
    """No such delivery of a webhook, or another key's."""

    code = "delivery_not_found"


class StreamNotAvailable(NotFound):
    """The task was not submitted with `stream: true` (spec section 2.5)."""

    code = "stream_not_available"


class StreamExpired(ReynardError):
    """The chunks are no longer kept; the task query still has the result (spec section 2.5)."""

    code = "stream_expired"


class OffsetOutOfRange(ReynardError):
    """An offset past the end of the stream (spec section 2.5)."""

    code = "offset_out_of_range"


class RangeNotSatisfiable(ReynardError):
    """A `Range` that is none, or lies past the end of a file of `size` bytes."""

    code = "range_not_satisfiable"

    def __init__(self, message: str, *, size: int) -> None:
        super().__init__(message)
        self.size = size


class BodyStalled(ReynardError):
    """The rest of a body came too slowly, or not at all."""

    code = "body_stalled"


class UploadStalled(BodyStalled):
    """The rest of an upload did."""

    code = "upload_stalled"


class TaskAlreadyFinished(ReynardError):
    """An ended task cannot be cancelled."""

    code = "task_already_finished"


class RateLimited(ReynardError):
    """The key has used what it may (spec section 4), of which `limit` says.

    `allowance`: what it has left; `retry_after_s`: when to come.
    """

    code = "rate_limit_exceeded"
    retryable = True

    def __init__(
        self, message: str, *, limit: LimitKind, allowance: Allowance, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.allowance = allowance
        self.retry_after_s = retry_after_s


class TooLargeForLimit(RateLimited):
    """One request is more than the key may use in a whole minute: it never fits, however long one waits."""

    retryable = False


class Overloaded(ReynardError):
    """A bounded queue is full. `retry_after_s` says when to come back."""

    code = "overloaded"
    retryable = True

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoreUnavailable(Overloaded):
    """The store could not keep what it was given (disk full, locked): nothing was accepted."""

    code = "store_unavailable"


class GenerationError(ReynardError):
    """How a generation failed. `code` is one of `TASK_ERROR_CODES`.

    `failover`: another channel, or the same one later, may do better; the failure is the provider's and not the
    request's. `retry_after_s`: what the provider asked to wait, if it did. `of_model`: it says something of the model
    that was asked for (its name, the right to it, its limit), and nothing of the others on the same channel.
    """

    code: TaskErrorCode  # type: ignore[misc]

    def __init__(
        self,
        code: TaskErrorCode,
        message: str,
        *,
        failover: bool = False,
        retry_after_s: float | None = None,
        of_model: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.failover = failover
        self.retry_after_s = retry_after_s
        self.of_model = of_model

    @property
    def is_wrong_name(self) -> bool:
        """Whether the provider is well, and has no such model."""
        return self.of_model and self.code == "upstream_error"
