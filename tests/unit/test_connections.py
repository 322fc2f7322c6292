"""Bounds and deadlines of connections, and the line before the sockets, by a clock of our own."""

from __future__ import annotations

import logging
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.deployment import turnstile
from streaming.deployment.connection import Connection, ConnectionPhase, Refusal
from streaming.deployment.connections import MOST, Connections, most_connections
from streaming.deployment.throttled_warnings import ThrottledWarnings
from streaming.deployment.turnstile import Turnstile
from streaming.system.file_limit import raise_file_limit
from tests.support.processes import ROOT


class Room:
    """Connections, and what became of each."""

    def __init__(self, most: int = 100, per_address: int = 0, *trusted: str) -> None:
        self.now = 0.0
        self.ended: list[tuple[str, ConnectionPhase]] = []
        self.cut: list[str] = []
        self.bounds = Connections(
            most, per_address, head=20, idle=75, trusted=trusted, clock=lambda: self.now
        )

    def enter(self, peer: str = "192.0.2.1", name: str = "") -> Connection:
        name = name or peer
        return self.bounds.enter(
            peer, lambda phase: self.ended.append((name, phase)), lambda: self.cut.append(name)
        )

    def look_at(self, now: float) -> None:
        self.now = now
        self.bounds.look()


@pytest.mark.parametrize(
    ("phase", "seconds"),
    [(ConnectionPhase.HEAD, 20), (ConnectionPhase.BODY, 20), (ConnectionPhase.IDLE, 75)],
)
def test_each_phase_has_its_deadline_and_then_a_last_word(
    phase: ConnectionPhase, seconds: float
) -> None:
    room = Room()
    room.bounds.turn(room.enter(), phase)
    room.look_at(seconds - 0.1)
    assert not room.ended
    room.look_at(seconds + 0.1)
    assert room.ended == [("192.0.2.1", phase)]
    room.look_at(seconds + 10)
    assert (len(room.ended), room.cut, len(room.bounds)) == (1, ["192.0.2.1"], 0)


def test_what_is_served_has_none() -> None:
    room = Room()
    room.bounds.turn(room.enter(), ConnectionPhase.SERVED)
    room.look_at(1e9)
    assert not room.ended
    assert len(room.bounds) == 1


def test_a_body_earns_time_by_what_comes() -> None:
    room = Room()
    connection = room.enter()
    room.bounds.turn(connection, ConnectionPhase.BODY)
    connection.received = 10 * 8192
    room.look_at(29)
    assert not room.ended
    room.look_at(31)
    assert room.ended


def test_a_trusted_proxy_is_not_one_client() -> None:
    room = Room(100, 2, "10.0.0.0/8")
    connections = [room.enter("10.0.0.5") for _ in range(5)]
    assert [each.refusal for each in connections] == [None] * 5
    assert room.bounds.name(connections[0], "2001:db8::/64") is None
    assert room.bounds.name(connections[1], "2001:db8::/64") is None
    assert room.bounds.name(connections[2], "2001:db8::/64") is Refusal.ADDRESS
    assert room.bounds.name(connections[2], "192.0.2.7") is None
    room.bounds.unname(connections[0])
    assert room.bounds.name(connections[3], "2001:db8::/64") is None
    room.bounds.leave(connections[1])
    assert room.bounds.name(connections[4], "2001:db8::/64") is None


def test_who_is_no_proxy_cannot_take_another_name() -> None:
    room = Room(100, 1)
    connection = room.enter("192.0.2.1")
    room.bounds.name(connection, "192.0.2.2")
    room.bounds.unname(connection)
    assert room.enter("192.0.2.1").refusal is Refusal.ADDRESS


@pytest.mark.parametrize("peer", ["2001:db8::2", "2001:0db8:0::ffff:1"])
def test_an_ipv6_client_is_its_network(peer: str) -> None:
    room = Room(100, 1)
    room.enter("2001:db8::1")
    assert room.enter(peer).refusal is Refusal.ADDRESS


def test_the_one_that_asks_nothing_longest_gives_way() -> None:
    room = Room(3)
    names = ["half", "idle", "served"]
    half, idle, served = (room.enter(name=name) for name in names)
    room.bounds.turn(idle, ConnectionPhase.IDLE)
    room.bounds.turn(served, ConnectionPhase.SERVED)
    assert room.enter().refusal is Refusal.FULL  # all have just come
    room.now = 2
    assert room.enter().refusal is None
    assert room.enter().refusal is None
    assert room.cut == ["idle", "half"]
    room.now = 2.5
    assert room.enter().refusal is Refusal.FULL
    assert half.gone


def test_those_beyond_are_few_and_have_little_time() -> None:
    room = Room(1)
    room.bounds.turn(room.enter(), ConnectionPhase.SERVED)
    beyond = [room.enter(name=str(number)) for number in range(room.bounds.beyond + 3)]
    assert room.cut == ["0", "1", "2"]
    assert len(room.bounds) == 1 + room.bounds.beyond
    room.bounds.turn(beyond[-1], ConnectionPhase.IDLE)
    room.look_at(6)
    assert len(room.bounds) == 1
    for each in beyond:
        room.bounds.leave(each)
    assert len(room.bounds) == 1


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 4), st.integers(0, 3)), max_size=80))
def test_whatever_happens_the_counts_are_right(steps: list[tuple[int, int, int]]) -> None:
    room = Room(5, 3, "10.0.0.9")
    open_: list[Connection] = []
    for what, which, seconds in steps:
        room.now += seconds
        if what < 3:
            peer = ("192.0.2.1", "192.0.2.2", "10.0.0.9")[which % 3]
            open_.append(room.enter(peer))
        elif what == 3:
            room.bounds.look()
        elif open_:
            connection = open_[which % len(open_)]
            if what == 4:
                room.bounds.leave(connection)
            elif what == 5:
                room.bounds.turn(connection, list(ConnectionPhase)[seconds])
            elif what == 6 and not connection.gone:
                room.bounds.name(connection, "192.0.2.3")
            else:
                room.bounds.unname(connection)
        inside = [each for each in open_ if not each.gone and not each.refusal]
        refused = [each for each in open_ if not each.gone and each.refusal]
        assert len(room.bounds) == len(inside) + len(refused)
        assert len(inside) <= 5
        counted = [each.key for each in open_ if each.key and not each.gone]
        assert dict(room.bounds._by_address) == {key: counted.count(key) for key in counted}
        assert all(count <= 3 for count in room.bounds._by_address.values())


def test_a_warning_is_said_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    warnings = ThrottledWarnings(lambda: now)
    with caplog.at_level(logging.WARNING):
        for _ in range(1000):
            warnings.warn("%d too many.%s", (7,))
        now = 61
        warnings.warn("%d too many.%s", (8,))
    assert [record.getMessage() for record in caplog.records] == [
        "7 too many.",
        "8 too many. (999 more since it was last said.)",
    ]


@pytest.mark.parametrize(
    ("wanted", "files", "most"),
    [(0, 65_536, MOST), (0, 1024, 768), (0, 256, 128), (0, 20, 16), (50, 1024, 50)],
)
def test_as_many_as_the_files_allow(wanted: int, files: int, most: int) -> None:
    assert most_connections(wanted, files) == most


def test_more_than_the_files_allow_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert most_connections(5000, 1024) == 768
    assert "CHATSTREAM_MAX_CONNECTIONS=5000 needs more open files" in caplog.text


RAISED = """
import resource, sys
from streaming.system.file_limit import raise_file_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (200, int(sys.argv[1])))
print(raise_file_limit(500), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(("hard", "expected"), [(300, "300 300"), (600, "500 500")])
def test_the_soft_limit_is_raised_as_far_as_it_may_be(hard: int, expected: str) -> None:
    run = [sys.executable, "-c", RAISED, str(hard)]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def test_a_limit_that_is_higher_stays() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert raise_file_limit(10) >= 10
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_the_units_ask_for_as_many() -> None:
    for unit in (ROOT / "deploy").glob("*@.service"):
        assert "\nLimitNOFILE=65536\n" in Path(unit).read_text(encoding="utf-8")


# --- the turnstile ---


class Comer:
    def __init__(self, name: int, told: list[str], then: Callable[[Comer], None]) -> None:
        self.name, self.told, self.then = name, told, then

    def let_in(self) -> None:
        self.told.append(f"in {self.name}")
        self.then(self)

    def send_away(self) -> None:
        self.told.append(f"away {self.name}")


class Line:
    def __init__(self, at_once: int) -> None:
        self.now = 0.0
        self.told: list[str] = []
        self.turnstile = Turnstile(at_once, lambda: self.now)

    def comer(self, name: int, then: Callable[[Comer], None] = lambda comer: None) -> Comer:
        comer = Comer(name, self.told, then)
        self.turnstile.enter(comer)
        return comer


def test_they_are_let_in_in_their_order_a_few_at_a_time() -> None:
    line = Line(2)
    comers = [line.comer(number) for number in range(5)]
    assert line.told == ["in 0", "in 1"]
    line.turnstile.leave(comers[1])
    line.turnstile.leave(comers[1])
    assert line.told == ["in 0", "in 1", "in 2"]
    line.turnstile.leave(comers[3])  # it has left the line
    line.turnstile.leave(comers[0])
    assert line.told[3:] == ["in 4"]


def test_who_stands_too_long_is_sent_away_and_who_is_inside_too_long_not_counted() -> None:
    line = Line(1)
    for number in range(3):
        line.comer(number)
    line.now = 3
    line.turnstile.look()
    assert line.told == ["in 0", "in 1"]
    line.now = turnstile.PATIENCE_SECONDS + 1
    line.turnstile.look()
    assert line.told == ["in 0", "in 1", "away 2"]


def test_thousands_that_leave_at_once_are_let_in_one_behind_the_other() -> None:
    line = Line(1)
    first = line.comer(-1)
    for number in range(5000):
        line.comer(number, line.turnstile.leave)
    line.turnstile.leave(first)
    assert len(line.told) == 5001
