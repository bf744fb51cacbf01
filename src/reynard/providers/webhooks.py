"""Posts webhooks to addresses that clients name, by the rules of the guarded fetcher: docs/decisions/0010, 0018."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import wreq
from wreq import exceptions as wire

from reynard.core.addresses import Refused, target
from reynard.ports.webhooks import NotDelivered, NotTried, Receipt
from reynard.providers.fetcher.guarded import WIRE, FetchRules, Resolver, addresses, client, lookup_of
from reynard.providers.fetcher.lookup import Busy

log = logging.getLogger(__name__)

READ_BYTES: Final = 4_096
READ_S: Final = 1.0
"""So much of an answer is read, and thrown away, so that a receiver is not cut off while it writes."""


class GuardedNotifier:
    """The notifier of `ports.webhooks`: a client of wreq's for each POST, which knows its checked addresses alone."""

    def __init__(self, rules: FetchRules, resolve: Resolver | None = None) -> None:
        self._rules = rules
        self._resolve = resolve or lookup_of(rules)

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Receipt:
        """See the port."""
        with _told():
            async with asyncio.timeout(self._rules.timeout_s):
                response = await self._post(url, headers, body)
        async with response:
            receipt = Receipt(response.status.as_int(), _retry_after_s(response))
            await _read_some(response)
        return receipt

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> wreq.Response:
        goal = target(url)
        pinned = await addresses(goal, self._rules, self._resolve)
        once = client(goal.host, pinned, self._rules.connect_s)
        return await once.post(goal.url, headers=dict(headers), body=body)


async def _read_some(response: wreq.Response) -> None:
    """What becomes of it makes no difference: the status is known."""
    size = 0
    try:
        async with asyncio.timeout(READ_S), response.stream() as stream:
            async for part in stream:
                size += len(part)
                if size >= READ_BYTES:
                    return
    except (TimeoutError, *WIRE):
        return


def _retry_after_s(response: wreq.Response) -> float | None:
    """Of `Retry-After`, the number of seconds (RFC 9110 10.2.3); a date is passed over."""
    said = bytes(response.headers.get("retry-after") or b"")
    return float(said) if said.isdigit() and len(said) <= 9 else None


@contextmanager
def _told() -> Iterator[None]:
    """Every failure as a client may see it; the log has its kind, and not where the address led."""
    try:
        yield
    except TimeoutError:
        raise NotDelivered("timeout") from None
    except Busy as busy:
        raise NotTried(str(busy)) from None
    except Refused as refused:
        log.info("a webhook was not sent: %s", refused)
        raise NotDelivered("unreachable") from None
    except wire.TlsError:
        raise NotDelivered("tls_failed") from None
    except wire.TimeoutError:
        raise NotDelivered("timeout") from None
    except WIRE as error:
        log.info("a webhook was not sent: %s", type(error).__name__)
        raise NotDelivered("unreachable") from None
