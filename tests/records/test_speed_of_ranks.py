"""What follows of the times of ranks."""

import pytest
import stub

from mpcore.records import Blocks, Collective, Rank, RankTime, Speed


def speed(*times, sent=()):
    blocks = Blocks(steps=1, seconds=(1.0,))
    ranks = tuple(Rank(rank=n, blocks=blocks, weights_hash="a", time=time) for n, time in enumerate(times))
    case = stub.case("bert").model_copy(update={"strategy": "ddp", "gpus": len(times)})
    return Speed.model_construct(case=case, blocks=blocks, ranks=ranks, collectives=sent)


def test_the_rank_that_waits_least_says_what_is_exposed_and_how_fast_links_are():
    ring = Collective(operation="allreduce_", dtype="float32", calls=2, elements=100, bytes=400)
    gathered = Collective(operation="_allgather_base_", dtype="bfloat16", calls=1, elements=100, bytes=200)
    other = Collective(operation="broadcast_", dtype="float32", calls=1, elements=100, bytes=400)
    times = [RankTime(compute=1.0, communication=c, exposed=e) for c, e in ((4.0, 2.0), (2.0, 0.5), (3.0, 1.0), (3.0, 1.0))]
    found = speed(*times, sent=(ring, gathered, other))
    assert found.exposed_seconds == 0.5
    assert found.bus_bytes_per_second == pytest.approx((2 * 3 / 4 * 400 + 3 / 4 * 200) / 2.0)


def test_the_slowest_rank_is_the_one_that_waits_least():
    """Where a step is launched by Python, a rank whose collectives wait computes longer beside them: two H200 gave these."""
    assert speed(RankTime(compute=22.99, communication=78.75), RankTime(compute=19.31, communication=1.8)).slowest_rank == (
        1,
        1,
    )
    slow = speed(*(RankTime(compute=c, communication=w) for c, w in ((1.0, 0.3), (1.1, 0.1), (1.0, 0.2))))
    assert slow.slowest_rank == (1, pytest.approx(1.1))


def test_where_nobody_tells_how_long_ranks_wait_the_slowest_computes_longest():
    assert speed(*(RankTime(compute=c) for c in (1.0, 1.0, 1.1, 1.0))).slowest_rank == (2, pytest.approx(1.1))
    assert speed(*(RankTime(compute=c) for c in (1.0, 1.2))).slowest_rank == (1, pytest.approx(1.2))


def test_without_times_of_all_ranks_nothing_follows():
    found = speed(RankTime(compute=1.0), None)
    assert (found.rank_times, found.exposed_seconds, found.bus_bytes_per_second, found.slowest_rank) == ((), None, None, None)
