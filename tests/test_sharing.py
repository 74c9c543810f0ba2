"""Sharing partitions out: everyone counts for himself, and all come to the same result."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.sharing import share

NAMES = st.text(st.characters(exclude_characters=":"), max_size=8)
WORKERS = st.lists(NAMES, min_size=1, max_size=12, unique=True)
PARTITIONS = st.integers(1, 64)


@given(WORKERS, PARTITIONS)
def test_every_partition_has_exactly_one_owner(workers: list[str], partitions: int) -> None:
    """The shares of all workers together are all partitions, each once."""
    assert list(range(partitions)) == sorted(p for worker in workers for p in share(worker, workers, partitions))


@given(WORKERS, PARTITIONS)
def test_shares_differ_by_one_at_most(workers: list[str], partitions: int) -> None:
    """Nobody has two more than another."""
    sizes = [len(share(worker, workers, partitions)) for worker in workers]
    assert max(sizes) - min(sizes) <= 1


@given(WORKERS.flatmap(lambda workers: st.tuples(st.just(workers), st.permutations(workers))), PARTITIONS)
def test_it_does_not_matter_in_which_order_workers_are_known(
    orders: tuple[list[str], list[str]], partitions: int
) -> None:
    """Two who see the same workers agree on every share."""
    known, other = orders
    assert [share(worker, known, partitions) for worker in known] == [share(w, other, partitions) for w in known]


@given(WORKERS, st.text(max_size=8), PARTITIONS)
def test_who_is_not_there_has_no_share(workers: list[str], worker: str, partitions: int) -> None:
    """One whose lease has run out stops, even if nobody else is there."""
    others = [other for other in workers if other != worker]
    assert share(worker, others, partitions) == []


@given(WORKERS, WORKERS, PARTITIONS)
def test_those_who_do_something_else_share_among_themselves(
    some: list[str], others: list[str], partitions: int
) -> None:
    """While versions change, each version's partitions are all folded, however many there are of the other."""
    old, new = [f"{name}:old" for name in some], [f"{name}:new" for name in others]
    for peers in (old, new):
        shares = [partition for worker in peers for partition in share(worker, old + new, partitions)]
        assert sorted(shares) == list(range(partitions))
