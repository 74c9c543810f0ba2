"""The bookkeeping of one partition, against a plain model: whatever happens, nothing unsettled is passed by."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from interrupts.store.groups import Leased
from interrupts.views import Checkpoint, place_of
from workers.event import Event
from workers.item import Item
from workers.lane import Lane

SESSIONS = ("a", "b", "c")


class LaneMachine(RuleBasedStateMachine):
    """Reads, handles, holds, parks and writes down at random; beside it stands what a server would have."""

    def __init__(self) -> None:
        super().__init__()
        self.lane = Lane(0, Leased(1, Checkpoint(), "", 0), Checkpoint())
        self.read = 0
        self.came: list[Item] = []
        self.undone: dict[str, list[int]] = {session: [] for session in SESSIONS}
        self.held: dict[str, str] = {}
        self.parked: set[str] = set()
        self.at = (0, 0)
        self.begun = (0, 0)
        self.all_undone: set[int] = set()

    @rule(sessions=st.lists(st.sampled_from((*SESSIONS, "")), min_size=1, max_size=4))
    def reads(self, sessions: list[str]) -> None:
        """Some entries come; those without a session are not wanted."""
        for session in sessions:
            before = self.lane.read_to
            self.read += 1
            stream_id = f"{self.read}-0"
            if session:
                self.came.append(self.lane.came(Event(0, stream_id, "a.b.c", session, b"[]"), before))
                self.all_undone.add(self.read)
            self.lane.read_to = (stream_id.encode(), [b"s", str(self.read).encode(), b"e", b"[]"])

    @rule()
    def writes(self) -> None:
        """What is to be written down reaches the server, and what has come is queued then."""
        step = self.lane.step()
        assert not self.lane.dirty
        if step.at is not None:
            assert step.at.place >= self.at
            self.at = step.at.place
        self.begun = place_of(step.begun) if step.begun else (0, 0)
        for what, stream_id, text in step.changes:
            self.held.pop(stream_id, None)
            if what == "hold":
                self.held[stream_id] = text
            elif what == "park":
                self.parked.add(stream_id)
        for item in self.came:
            self.lane.queue(item)
            self.undone[item.event.session_id].append(int(item.event.stream_id.split("-")[0]))
        self.came.clear()
        for number in self.all_undone:  # after a crash it would be found
            assert number > self.at[0] or f"{number}-0" in self.held

    @precondition(lambda self: any(self.undone.values()))
    @rule(data=st.data(), how=st.sampled_from(("done", "held", "parked")))
    def handles(self, data: st.DataObject, how: str) -> None:
        """The first of a session is done, fails, or is parked."""
        key = data.draw(st.sampled_from([one for one, numbers in self.undone.items() if numbers]))
        item = self.lane.sessions[key].items[0]
        assert item.event.stream_id == f"{self.undone[key][0]}-0"
        assert place_of(item.event.stream_id) <= self.begun
        item.attempts += 1
        if how == "held":
            self.lane.hold(item, "no")
            return
        self.all_undone.discard(self.undone[key].pop(0))
        if how == "done":
            self.lane.done(item)
        else:
            self.lane.parked(item, "{}")

    @rule()
    def lets_go(self) -> None:
        """At the end, all that is not done is held, and what is done is not."""
        self.lane.let_go()
        for item in self.came:
            self.undone[item.event.session_id].append(int(item.event.stream_id.split("-")[0]))
        self.came.clear()
        self.writes()
        assert set(self.held) == {f"{number}-0" for number in self.all_undone}
        assert self.at == (self.read, 0)

    @invariant()
    def counts_are_right(self) -> None:
        """What is held is counted, and what is done leaves nothing behind."""
        items = [item for session in self.lane.sessions.values() for item in session.items]
        assert self.lane.held == len(self.lane.held_ids) == sum(item.held for item in items)
        assert sorted(int(item.event.stream_id.split("-")[0]) for item in items) == sorted(
            number for numbers in self.undone.values() for number in numbers
        )
        for session in self.lane.sessions.values():
            assert session.items
            held = [item.held for item in session.items]
            assert held == sorted(held, reverse=True), "behind what is not held, nothing of its session is"


LaneMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestLane = LaneMachine.TestCase
