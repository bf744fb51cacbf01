from collections.abc import Iterator

import pytest
from tests.receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Of all webhooks; it outlives the gateways."""
    with Receiver() as opened:
        yield opened
