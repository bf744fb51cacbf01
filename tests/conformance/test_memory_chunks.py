import pytest

from reynard.core.errors import WORTH_A_RETRY, GenerationError
from reynard.ports.chunks import Batch, StreamEnd
from reynard.storage.chunks_memory import CHUNK_OVERHEAD, MemoryChunkLog
from reynard.testing.clock import FakeClock
from reynard.testing.conformance.chunks import ChunkLogConformance, whole


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def log(clock: FakeClock) -> MemoryChunkLog:
    return MemoryChunkLog(clock, retention_s=900, max_bytes=1_000_000, max_stream_bytes=500_000)


class TestMemoryChunkLog(ChunkLogConformance):
    async def test_an_ended_stream_is_forgotten_after_its_time(self, log: MemoryChunkLog, clock: FakeClock) -> None:
        await log.close_stream("old")
        clock.advance(899)
        await log.close_stream("young")
        assert await log.read("old", 0, 0.0) is not None
        clock.advance(2)
        assert await log.read("old", 0, 0.0) is None
        assert await log.read("young", 0, 0.0) is not None

    async def test_a_stream_is_bounded_and_asking_again_is_no_use(self, log: MemoryChunkLog) -> None:
        await log.open("t")
        await log.append("t", [b"x" * 300_000])
        log.let_go("t", 1)
        with pytest.raises(GenerationError) as refused:
            await log.append("t", [b"x" * 300_000])
        assert (refused.value.code, WORTH_A_RETRY[refused.value.code]) == ("invalid_parameters", False)
        assert "fewer tokens" in refused.value.message

    async def test_room_is_made_of_the_oldest_ended_streams_only(self, log: MemoryChunkLog) -> None:
        for name in ("a", "b"):
            await log.open(name)
            await log.append(name, [b"x" * 400_000])
        await log.close_stream("b")
        await log.open("c")
        await log.append("c", [b"y" * 400_000])
        assert await log.read("b", 0, 0.0) is None
        assert not log.make_room(400_000)
        await log.close_stream("a")
        assert (await whole(log, "a"))[0] == [b"x" * 400_000]

    async def test_what_was_let_go_of_is_not_shown_and_the_rest_keeps_its_numbers(self, log: MemoryChunkLog) -> None:
        await log.open("t")
        before = log.held
        await log.append("t", [b"%d" % number for number in range(9)])
        for number in (5, 3, 5):
            log.let_go("t", number)
        assert await log.read("t", 4, 5.0) == Batch(())
        assert await log.read("t", 5, 0.0) == Batch([b"5", b"6", b"7", b"8"])
        assert log.since("t", 7) == [b"7", b"8"]
        log.let_go("t", 9)
        assert log.held == before
        await log.close_stream("t")
        assert await log.read("t", 9, 0.0) == Batch([], StreamEnd(9))

    async def test_what_is_forgotten_gives_its_room_back(self, log: MemoryChunkLog, clock: FakeClock) -> None:
        for turn in range(50):
            await log.open(f"t{turn}")
            await log.append(f"t{turn}", [b"x" * (400_000 - CHUNK_OVERHEAD)])
            await log.close_stream(f"t{turn}")
        clock.advance(901)
        await log.sweep()
        for name in ("a", "b"):
            await log.open(name)
            await log.append(name, [b"x" * 400_000])
