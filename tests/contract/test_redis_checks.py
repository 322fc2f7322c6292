"""What is wrong with a Redis is said in a sentence, by real servers; and what works, works."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from streaming.waiting_list.channel_layers import RedisChannelLayer
from streaming.waiting_list.interface import WORKERS_GROUP, State
from streaming.waiting_list.redis.checks import check
from streaming.waiting_list.redis.prefix import claim_prefix
from streaming.waiting_list.redis.reasons import RedisAway, RedisRefused
from streaming.waiting_list.redis.scripts import OtherSite
from streaming.waiting_list.redis.url import parse
from tests.contract.backends import DELTA, DONE, RedisBackend
from tests.support.passing_time import outlast, stays
from tests.support.sentinels import MASTER, Sentinels, bare_sentinel
from tests.support.sentinels import start_or_skip as start_sentinels_or_skip
from tests.support.tls import Authority, TlsFront
from tests.support.valkey import Valkey, free_port, start_or_skip

NO_FILE = "appendonly no"


def refused(url: str, prefix: str = "chatstream") -> str:
    with pytest.raises(RedisRefused) as raised:
        check(parse(url), prefix)
    assert "the-password" not in str(raised.value)
    return str(raised.value)


def away(url: str) -> str:
    with pytest.raises(RedisAway) as raised:
        check(parse(url), "chatstream")
    assert "the-password" not in str(raised.value)
    return str(raised.value)


@contextlib.contextmanager
def saying(answer: bytes) -> Iterator[str]:
    """The address of a server that answers the same to everything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    line, _ = listener.accept()
                    with line:
                        while line.recv(65536):
                            line.sendall(answer)
                except OSError:
                    if listener.fileno() < 0:
                        return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(10)


async def whole_life(backend: RedisBackend) -> None:
    """An answer from its acceptance to its end, heard by a reader, with the doorbell."""
    await backend.beat()
    bell = asyncio.create_task(backend.layer.receive("generation"))
    await outlast(0.2, "the subscription to the bell")
    channel = await backend.subscribe("r")
    await backend.ask("r")
    await backend.layer.send("generation", {"type": "claim"})
    assert await asyncio.wait_for(bell, 10) == {"type": "claim"}
    claim = await backend.claim()
    await backend.list.append(claim.lease, DELTA)
    assert (await asyncio.wait_for(backend.layer.receive(channel), 10))["sequence_number"] == 1
    workers = await backend.layer.new_channel()
    await backend.layer.group_add(WORKERS_GROUP, workers)
    await backend.layer.group_send(WORKERS_GROUP, {"type": "worker.orders"})
    assert (await asyncio.wait_for(backend.layer.receive(workers), 10))["type"] == "worker.orders"
    await backend.list.finish(claim.lease, DONE)
    assert await backend.state("r") is State.DONE
    await backend.layer.group_discard(WORKERS_GROUP, workers)


# --- what is refused ---


def test_a_server_that_is_all_right(empty_valkey: Valkey) -> None:
    (unwise,) = check(parse(empty_valkey.url + "/3"), "chatstream")
    assert NO_FILE in unwise
    with Redis(port=empty_valkey.port) as client:
        assert client.info("keyspace") == {}  # nothing was left there


def test_what_is_not_there_is_away(empty_valkey: Valkey) -> None:
    assert "refused" in away(f"redis://:the-password@127.0.0.1:{free_port()}")
    assert "not known" in away("redis://:the-password@nowhere.invalid")
    assert "No such file" in away("unix://:the-password@/nowhere/redis")
    assert "None of the Sentinels" in away(
        f"redis+sentinel://:the-password@127.0.0.1:{free_port()}/m"
    )


@pytest.mark.parametrize(
    "answer",
    [
        "-LOADING Redis is loading the dataset in memory",
        "-ERR max number of clients reached",
        "-MASTERDOWN Link with MASTER is down",
    ],
)
def test_what_passes_is_away(answer: str) -> None:
    with saying(f"{answer}\r\n".encode()) as url:
        assert "does not answer" in away(url)


def test_a_wrong_number(empty_valkey: Valkey) -> None:
    assert "no database number 99" in refused(empty_valkey.url + "/99")


def test_passwords() -> None:
    server = start_or_skip(requirepass="s3cret")
    try:
        assert "wants a password, and the address has none" in refused(server.url)
        place = f"127.0.0.1:{server.port}"
        assert "does not accept the user and" in refused(f"redis://:the-password@{place}")
        assert "does not accept the user and" in refused(f"redis://me:the-password@{place}")
        assert check(parse(f"redis://:s3cret@{place}"), "chatstream")
        with Redis(port=server.port, password="s3cret") as client:
            client.config_set("requirepass", "")
        with saying(b"-DENIED Redis is running in protected mode because\r\n") as url:
            assert "protected mode" in refused(url)
    finally:
        server.stop()


def test_a_cluster() -> None:
    server = start_or_skip(cluster_enabled="yes")
    try:
        assert "is a Redis Cluster" in refused(server.url)
        assert "is a Redis Cluster" in refused(server.url + "/1")
    finally:
        server.stop()


def test_a_replica(empty_valkey: Valkey) -> None:
    replica = start_or_skip(replicaof=f"127.0.0.1 {empty_valkey.port}")
    try:
        assert "is a replica" in refused(replica.url)
    finally:
        replica.stop()


def test_what_is_no_redis() -> None:
    with saying(b"HTTP/1.1 400 Bad Request\r\n\r\n") as url:
        assert "what answers there is no Redis" in refused(url)


def test_an_old_one() -> None:
    info = b"# Server\r\nredis_version:6.0.16\r\nredis_mode:standalone\r\nrole:master\r\n"
    # To the greeting, the PING and the INFO alike.
    with saying(b"$%d\r\n%s\r\n" % (len(info), info)) as url:
        sentence = refused(url + "?protocol=2")
    assert "is version 6.0.16, and 6.2 is the oldest" in sentence


def test_memory_that_may_be_dropped_is_unwise(empty_valkey: Valkey) -> None:
    with Redis(port=empty_valkey.port) as client:
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            said = check(parse(empty_valkey.url), "chatstream")
        finally:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", "0")
    assert any("maxmemory-policy allkeys-lru" in sentence for sentence in said)


# --- users ---

DOCUMENTED = "resetchannels ~chatstream:* &chatstream* +@all -@dangerous +info"


@pytest.fixture
def limited(empty_valkey: Valkey) -> Iterator[Any]:
    """Gives the address of a user with such rights."""
    with Redis(port=empty_valkey.port) as client:

        def make(rights: str) -> str:
            client.execute_command("ACL", "SETUSER", "me", "reset", "on", ">pw", *rights.split())
            return f"redis://me:pw@127.0.0.1:{empty_valkey.port}/0"

        yield make
        client.acl_deluser("me")


async def test_the_documented_rights_are_enough(limited: Any) -> None:
    page = Path(__file__).parents[2] / "docs" / "deployment.md"
    assert DOCUMENTED in page.read_text("utf-8")
    url = limited(DOCUMENTED)
    await asyncio.to_thread(check, parse(url), "chatstream")
    await asyncio.to_thread(claim_prefix, parse(url), "chatstream", "a")
    backend = RedisBackend(url, prefix="chatstream")
    await whole_life(backend)
    assert await backend.list.known(["r"]) == set()
    assert (await backend.list.snapshot()).workers
    await backend.list.sample("{}")
    assert await backend.list.samples() == ["{}"]
    await backend.close()


def test_info_need_not_be_allowed(limited: Any) -> None:
    assert check(parse(limited(DOCUMENTED.removesuffix(" +info"))), "chatstream") == []


@pytest.mark.parametrize(
    "rights",
    [
        DOCUMENTED.replace("~chatstream:*", "~other:*"),
        DOCUMENTED.replace("&chatstream*", "&other*"),
        f"{DOCUMENTED} -@scripting",
        f"{DOCUMENTED} -eval",
        f"{DOCUMENTED} -evalsha",
        f"{DOCUMENTED} -zadd",
        f"{DOCUMENTED} -publish",
        f"{DOCUMENTED} -subscribe",
        f"{DOCUMENTED} -zmscore",
        f"{DOCUMENTED} -ping",
    ],
)
def test_rights_that_lack_are_named(limited: Any, rights: str) -> None:
    sentence = refused(limited(rights))
    assert "its user may not do what is needed" in sentence
    assert "permission" in sentence


async def test_every_channel_carries_the_prefix(empty_valkey: Valkey) -> None:
    backend = RedisBackend(empty_valkey.url, prefix="here")
    with Redis(port=empty_valkey.port, decode_responses=True) as client:
        heard = client.pubsub()
        heard.psubscribe("*")
        await whole_life(backend)
        names = set()
        while message := heard.get_message(timeout=0.5):
            if message["type"] == "pmessage":
                names.add(message["channel"])
        heard.close()
        assert len(names) == 3
        assert all(name.startswith("here") for name in names)
        assert all(str(key).startswith("here:") for key in client.keys("*"))
    await backend.close()


async def test_sites_with_other_prefixes_ring_their_own_bells(empty_valkey: Valkey) -> None:
    here, there = (RedisChannelLayer([empty_valkey.url], prefix=name) for name in ("a", "b"))
    hearing = [asyncio.create_task(layer.receive("generation")) for layer in (here, there)]
    await outlast(0.2, "the subscription to the bells")
    await here.send("generation", {"type": "claim"})
    await asyncio.wait_for(hearing[0], 10)
    await stays(lambda: not hearing[1].done(), 0.2)
    hearing[1].cancel()
    await asyncio.wait(hearing)
    for layer in (here, there):
        await layer.flush()


# --- ways to a server ---


async def test_a_unix_socket(empty_valkey: Valkey) -> None:
    url = f"unix://{empty_valkey.socket}?db=1"
    await asyncio.to_thread(check, parse(url), "test")
    backend = RedisBackend(url)
    await whole_life(backend)
    await backend.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def front(authority: Authority, empty_valkey: Valkey) -> Iterator[TlsFront]:
    front = TlsFront(authority, empty_valkey.port)
    yield front
    front.stop()


async def test_tls_with_an_authority_of_ones_own(front: TlsFront, authority: Authority) -> None:
    url = f"rediss://127.0.0.1:{front.port}/0?ssl_ca_certs={authority.ca}"
    await asyncio.to_thread(check, parse(url), "test")
    backend = RedisBackend(url)
    await whole_life(backend)
    await backend.close()


def test_tls_that_cannot_work(front: TlsFront, authority: Authority, empty_valkey: Valkey) -> None:
    place = f"127.0.0.1:{front.port}"
    sentence = refused(f"rediss://:the-password@{place}")
    assert "certificate is not trusted" in sentence
    assert "?ssl_ca_certs=" in sentence
    wrong_name = f"rediss://localhost:{front.port}?ssl_ca_certs={authority.ca}"
    assert "certificate is not trusted" in refused(wrong_name)
    assert "speaks TLS only: its address is rediss://" in refused(f"redis://{place}")
    assert "does not speak TLS" in refused(empty_valkey.url.replace("redis", "rediss"))
    lost = refused(f"rediss://{place}?ssl_ca_certs=/nowhere/ca.pem")
    assert "ssl_ca_certs of its address cannot be read" in lost
    no_authority = refused(f"rediss://{place}?ssl_ca_certs={authority.key}")
    assert "cannot be used" in no_authority


# --- Sentinels ---


@pytest.fixture(scope="module")
def sentinels() -> Iterator[Sentinels]:
    started = start_sentinels_or_skip()
    yield started
    started.stop()


async def test_sentinels_lead_to_the_master(sentinels: Sentinels) -> None:
    await asyncio.to_thread(check, parse(sentinels.url), "test")
    await asyncio.to_thread(claim_prefix, parse(sentinels.url), "test", "a")
    backend = RedisBackend(sentinels.url)
    await whole_life(backend)
    await backend.close()


async def test_the_other_form_of_sentinels(sentinels: Sentinels) -> None:
    host = {
        "sentinels": [("127.0.0.1", port) for port in sentinels.ports],
        "master_name": MASTER,
        "sentinel_kwargs": {"password": sentinels.SENTINEL_PASSWORD},
        "password": sentinels.PASSWORD,
    }
    layer = RedisChannelLayer([host], prefix="other")
    assert (await layer.waiting_list.snapshot()).waiting == []
    await layer.flush()


def test_sentinels_that_cannot_be_used(sentinels: Sentinels, empty_valkey: Valkey) -> None:
    place = f"127.0.0.1:{sentinels.ports[0]}"
    login = f":{sentinels.SENTINEL_PASSWORD}@"
    for url in (f"redis://{login}{place}/0", f"redis://{login}{place}/1"):
        assert "it is a Sentinel, which keeps no data" in refused(url)
    assert "wants a password, and the address has none" in refused(f"redis://{place}")
    unknown = refused(sentinels.url.replace(MASTER, "lost"))
    assert f"no master of that name; those they know: {MASTER}" in unknown
    wrong = sentinels.url.replace(sentinels.SENTINEL_PASSWORD, "the-password")
    assert "does not accept the login" in refused(wrong)
    assert "?sentinel_password=" in refused(sentinels.url.partition("?")[0])
    wrong = sentinels.url.replace(sentinels.PASSWORD, "the-password")
    assert "does not accept the user and password" in refused(wrong)
    assert "is no Sentinel but a server" in refused(
        f"redis+sentinel://127.0.0.1:{empty_valkey.port}/{MASTER}"
    )


def test_a_sentinel_without_a_password_of_its_own() -> None:
    """Which says of the master's that there is none."""
    port = free_port()
    with bare_sentinel(port):
        for login in ("", ":the-password@", "me:the-password@"):
            sentence = refused(f"redis://{login}127.0.0.1:{port}/0")
            if not login.startswith("me"):
                assert "it is a Sentinel, which keeps no data" in sentence


def test_one_sentinel_is_enough(sentinels: Sentinels) -> None:
    first = f"127.0.0.1:{sentinels.ports[0]}"
    check(parse(sentinels.url.replace(first, f"127.0.0.1:{free_port()}")), "test")


# --- sites ---


async def test_the_prefix_of_another_site(empty_valkey: Valkey) -> None:
    """Whatever it tries, its list is not touched; and nobody needs to have asked before."""

    def of(site: str) -> RedisBackend:
        async def site_id() -> str:
            return site

        return RedisBackend(empty_valkey.url, prefix="shared", site=site_id)

    ours, theirs = of("ours"), of("theirs")
    await ours.beat()
    await ours.list.restore([], whole=True)
    await ours.ask("r")
    claim = await ours.claim()
    await ours.ask("waiting")
    keys = await ours.keys()
    for call in (
        lambda: theirs.beat("w2"),
        lambda: theirs.ask("r2"),
        lambda: theirs.list.claim("w1", 1),
        lambda: theirs.list.withdraw("waiting", DONE),
        lambda: theirs.list.flag("r"),
        lambda: theirs.list.finish(claim.lease, DONE),
        lambda: theirs.list.sweep(0.001),
        lambda: theirs.list.elect("reconcile", "p", 10),
        theirs.list.snapshot,
        theirs.list.workers,
        lambda: theirs.list.close("No."),
    ):
        with pytest.raises(OtherSite, match="CHATSTREAM_PREFIX"):
            await call()
    assert {name for name in await ours.keys() if "once" not in name} == {
        name for name in keys if "once" not in name
    }
    assert await ours.list.append(claim.lease, DELTA) == 1

    address = parse(empty_valkey.url)
    with pytest.raises(RedisRefused, match=r"manage\.py takeprefix"):
        await asyncio.to_thread(claim_prefix, address, "shared", "theirs")
    await asyncio.to_thread(claim_prefix, address, "shared", "ours")
    await asyncio.to_thread(claim_prefix, address, "other", "theirs")
    await asyncio.to_thread(claim_prefix, address, "shared", "theirs", take=True)
    await theirs.ask("r2")
    with pytest.raises(OtherSite):
        await ours.ask("r3")
    for backend in (ours, theirs):
        await backend.close()
