"""HTTP/1.1 to the providers, on the event loop's own thread. Why: docs/decisions/0024.

`address` says where a request goes, `connection` carries it and parses the `answer`, `pool` keeps connections,
`transport` is a channel's way behind the port.
"""
