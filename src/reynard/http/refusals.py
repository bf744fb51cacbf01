"""What clients are told without the application."""

from typing import Final

from reynard.http.request_ids import new_request_id

MALFORMED: Final = (
    b'{"error":{"message":"The request is not valid HTTP.","type":"invalid_request_error","code":"invalid_http"}}'
)
HEADERS_TOO_LARGE: Final = (
    b'{"error":{"message":"The headers are too large.","type":"invalid_request_error","code":"headers_too_large"}}'
)
NO_BODY: Final = b'{"error":{"message":"The body did not come.","type":"invalid_request_error","code":"body_stalled"}}'
FAILED: Final = (
    b'{"error":{"message":"The gateway failed to handle the request. It has been logged.","type":"server_error",'
    b'"code":"server_error"}}'
)
REFUSAL: Final = (
    b"HTTP/1.1 %b\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"x-request-id: %b\r\n%bcontent-length: %d\r\n\r\n"
)
TIMEOUT: Final = b"408 Request Timeout"
TOO_LARGE: Final = b"431 Request Header Fields Too Large"
BAD: Final = b"400 Bad Request"
DEFECT: Final = b"500 Internal Server Error"


def refusal(status: bytes, body: bytes, shared: bytes) -> bytes:
    """The last answer of a connection. `shared`: of `sharing.raw_headers`."""
    return REFUSAL % (status, new_request_id(), shared, len(body)) + body
