"""The benchmark's parts that need a server, on one with the fake engine: that they run and count
rightly. What they measure says nothing here."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator

import pytest

from benchmarks.options import Options
from benchmarks.parts import arrivals, forwarding, history, interference, poisson, soak, sockets
from benchmarks.report import Section, markdown_section
from benchmarks.systems.forwarded import Forwarded, PacedServer
from benchmarks.systems.openai_server import OpenAIServer
from benchmarks.systems.served import Served

OPTIONS = Options(settings=(("CHATSTREAM_ENGINE", "tests.support.fake_engine.ProcessEngine"),))


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    settings = {"CHATSTREAM_MAX_INPUT_CHARS": "100000", "FAKE_STEP_SECONDS": "0.01"}
    with Served(OPTIONS, interference.READERS + 1, **settings) as served:
        yield served


def test_streams_are_read_to_their_end(server: Served) -> None:
    streams = server.answer(["one", "two"], 12)
    assert [stream.tokens for stream in streams] == [12, 12]
    assert all(0 < stream.ttft <= stream.e2e for stream in streams)
    assert all(stream.queue_seconds >= 0 for stream in streams)


def test_a_peer_is_any_openai_server(server: Served) -> None:
    url = server.url.replace("ws://", "http://").removesuffix("/ws/chat/") + "/v1"
    with OpenAIServer(url) as peer:
        streams = peer.answer(["one", "two"], 12)
    assert [stream.tokens for stream in streams] == [12, 12]
    assert all(stream.moments for stream in streams)


def test_an_answer_that_is_refused_is_an_error(server: Served) -> None:
    with pytest.raises(RuntimeError, match="input_too_long"):
        server.answer(["word " * 30_000], 4)


def test_a_second_turn_goes_on_in_the_conversation(server: Served) -> None:
    found = asyncio.run(history.one_round(server, itertools.count(1)))
    assert found["second turn"].conversation == found["history"].conversation
    assert found["fresh"].conversation != found["history"].conversation
    # The fake counts messages for tokens: prompt, answer, prompt.
    assert [found[name].prompt_tokens for name in ("second turn", "fresh")] == [3, 1]


def test_readers_read_while_a_long_prompt_comes(server: Served) -> None:
    readers, long = asyncio.run(interference.one_round(server, itertools.count(100)))
    assert len(readers) == interference.READERS
    assert all(reader.moments[0] < long.sent < reader.ended for reader in readers)


def test_arrivals_are_all_waited_for(server: Served) -> None:
    outcome = poisson.Outcome(1.0, 20.0)
    asyncio.run(poisson.arrive(server, ["stop 5", "stop 2"], outcome, 1.0, random.Random(1)))
    assert not outcome.faults
    assert len(outcome.ended) == len(outcome.streams) > 5


def test_idle_and_waiting_sockets_are_all_answered(server: Served) -> None:
    section = Section("sockets", "")
    asyncio.run(sockets.fill(server, 30, 0.5, section))
    assert section.figures["answered_percent"] == 100
    assert {"idle_kib", "lag_p99"} <= set(section.figures)


def test_a_crowd_is_told_what_became_of_it(server: Served) -> None:
    section = Section("arrivals", "")
    arrivals.gather(server, 60, 0, section)
    assert section.figures["lost"] == 0, markdown_section(section)
    assert section.figures["accepted"] > 0
    assert section.figures["health_p99"] > 0


def test_a_soak_accounts_for_every_response() -> None:
    settings = {"CHATSTREAM_MAX_WAITING": "24", "CHATSTREAM_DISCONNECT_GRACE": "1"}
    with Served(OPTIONS, 8, FAKE_STEP_SECONDS="0.002", **settings) as served:
        account = soak.Account()
        samples = asyncio.run(soak.load(served, ["hello"], account, 4.0))
        kept = soak.settled_record(served)
    section = soak.report(account, samples, kept, 0.1)
    assert account.accepted
    assert section.figures["lost"] == 0, markdown_section(section)


@pytest.mark.parametrize("bundled", [False, True])
def test_another_servers_answers_are_read(bundled: bool) -> None:
    found = forwarding.Found()
    with (
        PacedServer(100.0) as paced,
        Forwarded(Options(), 2, paced.url, bundled=bundled) as front,
    ):
        forwarding.add_round(found, front, 5, 0, count=4)
    assert len(found.cpu) == 1
