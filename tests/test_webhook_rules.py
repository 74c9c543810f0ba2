"""Where webhooks may be sent: every notation of an address is the same address, a name is judged by what it resolves
to when it counts, and what was judged is what is used."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from interrupts import ValidationError
from tests.receiver import Receiver
from tests.servers import until
from workers.webhooks import resolving
from workers.webhooks.posting import Answer, Poster
from workers.webhooks.resolving import Resolver, check_resolves, look_up
from workers.webhooks.rules import URL_CHARS_MAX, Rules, parse_ports

PUBLIC = "93.184.216.34"
WIDE = {ord("0") + n: 0xFF10 + n for n in range(10)}
"""The digits of East Asian keyboards."""

# By what is said, the hosts that it is said of.
HOSTS = {
    "127.0.0.1 is a loopback address": """
        127.0.0.1 127.1 127.0.1 2130706433 017700000001 0x7f000001 0X7F000001 0177.0.0.1 0177.1 0x7f.1 0x7f.0x0.0.0x1
        127.0.0.1. 2130706433. 00000177.0.0.1 127.0x1 127。0。0。1 127.0。1 ①②⑦.0.0.1""",
    "stands for 127.0.0.1, and that is a loopback address": """
        [::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:FFFF:127.0.0.1] [64:ff9b::127.0.0.1] [64:ff9b::7f00:1]""",
    "is a loopback address": "[::1] [0000::0001] 127.255.255.254",
    "is a reserved address": """
        [::127.0.0.1] [::2] [::ffff:0:127.0.0.1] [100::1] [4000::1] [5f00::1] [2001:10::1]
        0.1.2.3 240.0.0.1 192.0.0.8 192.88.99.1""",
    "0.0.0.0 is the unspecified address": "0 0x 0x0 00 0.0.0.0 0.0",
    "is the unspecified address": "[::] [0:0::0]",
    "10.1.2.3 is an address of a private network": "10.1.2.3 012.1.2.3 10.66051",
    "is an address of a private network": "172.16.0.1 172.31.255.255 192.168.257",
    "carrier-grade NAT": "100.64.0.1 100.127.255.255",
    "is a link-local address": "169.254.1.1 [fe80::1] [febf::1]",
    "is a site-local address": "[fec0::1]",
    "is a unique local address": "[fc00::1] [fd12:3456::1]",
    "for measuring networks": "198.18.0.1 198.19.0.1 [2001:2::1]",
    "for examples": "192.0.2.1 198.51.100.1 203.0.113.1 [2001:db8::1] [3fff::1]",
    "is a multicast address": "224.0.0.1 239.1.1.1 [ff02::1]",
    "is the broadcast address": "255.255.255.255 4294967295",
    "is a tunnel through IPv4": "[2001::1] [2001:0:4136:e378:8000:63bf:3fff:fdd2] [2002:7f00:1::] [2002:808:808::]",
    "is a translation to IPv4 within a network": "[64:ff9b:1::808:808]",
    "169.254.169.254 is where a cloud hands out credentials": "169.254.169.254 0xa9fea9fe 2852039166 169.254.43518",
    "stands for 169.254.169.254, and that is where a cloud": "[::ffff:169.254.169.254] [64:ff9b::a9fe:a9fe]",
    "is where a cloud hands out credentials": "[fd00:ec2::254] 100.100.100.200 168.63.129.16 192.0.0.192",
    "is a name within a private network": """
        localhost LOCALHOST localhost. a.localhost printer.local metadata.google.internal metadata.google.internal.
        x.localdomain ⓛocalhost ip6-localhost router.home.arpa""",
    "looks like an address and is none": """
        1.2.3.4.5 1.2.3.4.0 256.1.1.1 1.256.1.1 1.2.3.256 08.1.1.1 1.2.3.0x100 1..2 a.1 1.a.2 4294967296 a.0x7f 1_0.1
        0x_7f.1 [v1.x] [::ffff:127.0.0.1.] [:::1]""",
    "has a % in it": """
        %31%32%37.0.0.1 127.0.0.1%00 local%68ost [fe80::1%25eth0] [2606:4700::1111%25eth0] [::1%25lo] 127.0.0.1%25lo
        [::1%lo]""",
    "can't be a name": f"a..b .a . -a.b a-.b a.b* a,b a;b {'a' * 64} {'.'.join(['a' * 60] * 5)}",
    "can't be read": "[1.2.3.4] [::1 ::1 ::1] [::1]x a[::1] a℀b a:80:80 [[::1]] ...[]",
}
URLS = {
    "names no scheme or no host": [
        *("", "example.com", "//example.com/", "https:example.com", "https:/example.com", "https:///hook"),
        *("https://?a", "https://#a", "https://"),
    ],
    "the scheme": [
        *("ftp://example.com", "file://etc/passwd", "gopher://a.b", "unix://a/b", "ws://a.b", "http+unix://a/b"),
        "://example.com",
    ],
    "user or password": [
        *("https://me:word@example.com/", "https://@example.com", "https://example.com@127.0.0.1/", "https://[@/"),
        *("https://127.0.0.1:80@example.com", "https://a[]@/"),
    ],
    "fragment": ["https://example.com/#", "https://example.com/a?b#word"],
    "spaces, backslashes": [
        *("https://example.com\\@127.0.0.1/", "https://exa mple.com", " https://example.com", "https://a.b/\n"),
        *("https://a.b/\r\nHost: c", "https://a.b/\x00", "https://e\u200bx.com", "https://a.b/\u2028"),
        *("https://127.0.0.1\t.a.b/", "https://a.b/\ud800", "https://exam\u00adple.com", "https://example\u3000.com"),
    ],
    "the port": [f"https://example.com:{port}/word" for port in ("0", "22", "00", "1023")],
    "port": [
        f"https://example.com:{port}/?word"
        for port in ("65536", "99999", "-1", "a", "+443", "8_0", "443".translate(WIDE), "0443", "443%20")
    ],
    "2,020 characters": ["https://example.com/" + "a" * URL_CHARS_MAX],
    "more than 2,000 characters once": ["https://example.com/" + "ä" * 400],
}


def refused(url: object, **rules: Any) -> str:
    """What is said to an url that is refused."""
    with pytest.raises(ValidationError) as error:
        Rules(**rules).check_url(url)
    assert error.value.field == "url"
    return str(error.value)


@pytest.mark.parametrize(("why", "host"), [(why, host) for why, hosts in HOSTS.items() for host in hosts.split()])
def test_a_host_is_judged_in_every_notation(why: str, host: str) -> None:
    """Also with a port and a path behind it, and written in wide digits; what an operator can do is said."""
    for written in (host, host.translate(WIDE)):
        if written != host and (not host.replace(".", "").isdecimal() or "looks like" in why):
            continue
        for url in (f"http://{written}/", f"https://{written}:8443/a?b=c"):
            said = refused(url)
            assert why in said
            if why.partition(" ")[0] in ("is", "stands") or "NAT" in why:
                assert "INTERRUPTS_WEBHOOK_NETWORKS" in said


@pytest.mark.parametrize(("why", "url"), [(why, url) for why, urls in URLS.items() for url in urls])
def test_an_url_that_can_be_meant_in_two_ways_is_refused(why: str, url: str) -> None:
    """And nothing of it is shown that may be secret."""
    said = refused(url)
    assert why in said
    assert "word" not in said.replace("password", "")


def test_what_is_no_text_is_no_url() -> None:
    """It is missing, or of another type."""
    assert "is missing" in refused(None)
    assert "must be text, not bytes" in refused(b"https://example.com/")


@pytest.mark.parametrize(
    ("url", "used"),
    [
        ("https://example.com", "https://example.com"),
        ("HTTPS://Example.COM:443/A/../b?x=%20&y=a+b%2f", "https://example.com/A/../b?x=%20&y=a+b%2f"),
        ("http://example.com:80/", "http://example.com/"),
        ("http://example.com:", "http://example.com"),
        ("http://example.com:8080?a=b", "http://example.com:8080/?a=b"),
        ("https://example.com:80/", "https://example.com:80/"),
        ("https://example.com./a@b", "https://example.com./a@b"),
        ("https://münchen.example/ü?ö=ß", "https://xn--mnchen-3ya.example/%C3%BC?%C3%B6=%C3%9F"),
        ("https://example.com/{a}", "https://example.com/%7Ba%7D"),
        ("http://134744072/", "http://8.8.8.8/"),
        ("http://0x8.010.2056./", "http://8.8.8.8/"),
        ("http://8.8.8.8/".translate(WIDE), "http://8.8.8.8/"),
        ("http://[2606:4700:0:0::1111]:8080/", "http://[2606:4700::1111]:8080/"),
        ("http://[64:ff9b::8.8.8.8]/", "http://[64:ff9b::808:808]/"),
        ("http://redis/", "http://redis/"),
        ("http://a_b.example/", "http://a_b.example/"),
        ("http://1.2.3.4.example/", "http://1.2.3.4.example/"),
        ("http://internal.example/", "http://internal.example/"),
    ],
)
def test_what_is_fine_is_used_in_one_notation(url: str, used: str) -> None:
    """Its path and query as they were given; and once it is written so, it stays."""
    assert Rules().check_url(url) == used
    assert Rules().check_url(used) == used


BASES = st.lists(st.sampled_from(["{}", "0{:o}", "000{:o}", "0x{:x}", "0X{:X}", "0x00{:x}"]), min_size=4, max_size=4)


@given(st.ip_addresses(v=4), BASES, st.integers(1, 4), st.booleans(), st.booleans())
@example(ipaddress.IPv4Address("127.0.0.1"), ["{}"] * 4, 1, True, True)
@example(ipaddress.IPv4Address("8.8.8.8"), ["0{:o}"] * 4, 4, False, True)
def test_all_notations_of_an_address_are_judged_alike(
    address: ipaddress.IPv4Address, bases: list[str], count: int, dot: bool, wide: bool
) -> None:
    """As the C library reads them, whatever the base of each part, and however many parts; Python's own list is held
    against the table."""
    octets = address.packed
    parts = [*octets[: count - 1], int.from_bytes(octets[count - 1 :])]
    host = ".".join(base.format(part) for base, part in zip(bases, parts, strict=False))
    assert socket.inet_aton(host) == octets
    url = f"http://{host.translate(WIDE) if wide else host}{'.' * dot}/"
    why = Rules().refusal(str(address))
    tunnel = Rules(networks=("2002::/16", "2001::/32"))  # what goes through it is judged all the same
    to = ipaddress.IPv6Address(b"\x20\x02" + octets + bytes(10))
    via = ipaddress.IPv6Address(b"\x20\x01\0\0" + octets + b"\0" * 4 + b"\xf7" * 4)  # by this server, to 8.8.8.8
    by = ipaddress.IPv6Address(b"\x20\x01\0\0" + b"\x08" * 4 + b"\0" * 4 + bytes(255 - octet for octet in octets))
    within = [f"::ffff:{address}", f"64:ff9b::{address}"]
    if why is None:
        assert address.is_global
        assert Rules().check_url(url) == f"http://{address}/"
        assert [Rules().refusal(one) for one in within] == [None] * 2
        assert [tunnel.refusal(str(one)) for one in (to, via, by)] == [None] * 3
    else:
        assert refused(url) == f"url: {why}."
        for one in within:
            assert refused(f"http://[{one}]/")
        assert all(f"stands for {address}" in str(tunnel.refusal(str(one))) for one in (to, via, by))
    assert Rules(networks=("0.0.0.0/0",)).refusal(str(address)) is None or "credentials" in str(why)


@given(st.ip_addresses(v=6))
def test_an_ipv6_address_that_may_be_sent_to_is_global(address: ipaddress.IPv6Address) -> None:
    """Python's own list is held against the table."""
    if Rules().refusal(str(address)) is None:
        assert address.is_global
        assert not address.is_multicast


@given(st.text(st.sampled_from("ahtps:/@[]#?%.0127xf\\ \t\u3002①é-_&="), max_size=40), st.booleans())
def test_no_parser_reads_another_host_than_the_one_that_was_judged(text: str, whole: bool) -> None:
    """Whatever is given: it is refused, or it stays what it is, and two parsers read the same."""
    rules = Rules(networks=("0.0.0.0/0", "::/0"))
    try:
        used = rules.check_url(text if whole else f"http://{text}")
    except ValidationError:
        return
    assert rules.check_url(used) == used
    assert used.isascii()
    one, other = URL(used, encoded=True), urlsplit(used)
    assert (one.scheme, one.raw_host, one.explicit_port) == (other.scheme, other.hostname, other.port)
    assert URL(used).raw_host == one.raw_host


def test_a_network_that_an_operator_allows_lifts_only_the_judgement_of_addresses() -> None:
    """In any notation; the ports, the schemes and all else hold. A name for inside is then judged as every name is. A
    cloud's metadata are in no larger network."""
    rules = Rules(networks=("127.0.0.0/8", "fd00::/8", "169.254.0.0/16", "100.100.100.200"), schemes=("http",))
    assert rules.check_url("http://0x7f.1:8080/") == "http://127.0.0.1:8080/"
    assert rules.check_url("http://[fd00::1]/") == "http://[fd00::1]/"
    assert rules.check_url("http://localhost:8080/") == "http://localhost:8080/"
    assert rules.refusal("::ffff:127.0.0.1") is rules.refusal("169.254.1.1") is rules.refusal("100.100.100.200") is None
    assert "scheme" in refused("https://127.0.0.1/", networks=rules.networks, schemes=("http",))
    assert "port 22" in refused("http://127.0.0.1:22/", networks=rules.networks)
    assert "user" in refused("http://a@127.0.0.1/", networks=rules.networks)
    assert "::1 is a loopback" in refused("http://[::1]/", networks=rules.networks)
    for metadata in ("169.254.169.254", "[fd00:ec2::254]"):
        assert "by itself" in refused(f"http://{metadata}/", networks=rules.networks)
    assert "can't be judged" in str(rules.refusal("localhost"))
    assert "fe80::1%eth0 is a link-local address" in str(rules.refusal("fe80::1%eth0"))
    assert Rules(networks=("fe80::/10",)).refusal("fe80::1%eth0") is None


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        *(("networks", (text,), "is no network") for text in ("", "x", "10.0.0.0/33", " 10.0.0.0/8", "localhost")),
        ("networks", ("10.0.0.1/8",), "Is 10.0.0.0/8 meant?"),
        ("networks", ("fd00::/8", "fd00::1/64"), "Is fd00::/64 meant?"),
        ("networks", ("fe80::%eth0/10",), "more than its prefix"),
        ("networks", ("::ffff:10.0.0.0/104",), "Give those"),
        *(("networks", value, "a tuple of texts") for value in ("10.0.0.0/8", (10,), ["10.0.0.0/8"])),
        *(("schemes", value, "https and http") for value in ((), ("ftp",), ("https", "HTTP"), "http")),
        *(("ports", value, "from 1 to 65535") for value in ((), ((0, 1),), ((2, 1),), ((1, 65536),))),
    ],
)
def test_rules_that_can_not_be_meant_are_refused(field: str, value: Any, said: str) -> None:
    """By their name."""
    with pytest.raises(ValidationError, match=field) as error:
        Rules(**{field: value})
    assert said in str(error.value)
    assert error.value.field == field


def test_ports_are_read_from_texts() -> None:
    """Each a port or a range; anything else is refused."""
    assert parse_ports(("443", "8000-8999")) == ((443, 443), (8000, 8999))
    assert Rules(ports=parse_ports(["8443"])).check_url("https://example.com:8443/")
    assert "443, 8000-8999" in refused("https://example.com:80/", ports=parse_ports(("443", "8000-8999")))
    for text in ("", "0", "65536", "9-8", "1-", "-1", "1-2-3", "a", "+1", "1 - 2", "4".translate(WIDE)):
        with pytest.raises(ValidationError, match="neither a port") as error:
            parse_ports(["443", text])
        assert error.value.field == "ports"


Names = Callable[..., None]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """`names(name, [addresses], [addresses])` lets a name resolve to these, in turn; the last ones stay."""
    known: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        if host not in known:
            return real(host, port, *args, **kwargs)
        answers = known[host]
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [info for address in found for info in real(address, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return lambda name, *answers: known.__setitem__(name, list(answers))


LOOPBACK = Rules(networks=("127.0.0.1", "::1"))


async def posted(rules: Rules, url: str) -> Answer:
    """One attempt, by a poster of its own."""
    async with Poster(rules) as poster:
        return await poster.post(url, b"{}", {}, 20.0)


def test_a_name_is_judged_by_all_its_addresses_when_it_is_registered(names: Names) -> None:
    """One that may not be sent to is enough."""
    names("hook.example", [PUBLIC, "10.0.0.1"])
    names("fine.example", [PUBLIC, "2606:4700::1111"])
    with pytest.raises(
        ValidationError, match=r"hook\.example has the address 10\.0\.0\.1: .* private network"
    ) as error:
        asyncio.run(check_resolves(Rules(), "https://hook.example/"))
    assert error.value.field == "url"
    asyncio.run(check_resolves(Rules(networks=("10.0.0.0/8",)), "https://hook.example/"))
    asyncio.run(check_resolves(Rules(), "https://fine.example/"))
    asyncio.run(check_resolves(Rules(), f"https://{PUBLIC}/"))


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """No look-up comes back before the test ends; the list has the names that were asked for."""
    asked: list[str] = []
    released = threading.Event()

    def getaddrinfo(host: str, *args: Any, **kwargs: Any) -> list[Any]:
        asked.append(host)
        released.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield asked
    released.set()


def test_a_name_that_does_not_resolve_now_passes(silent: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none, or the answer takes too long: nothing is known against it, and it is judged when it counts."""
    monkeypatch.setattr(resolving, "REGISTRATION_TIMEOUT_S", 0.05)
    asyncio.run(check_resolves(Rules(), "https://slow.example/"))
    assert silent == ["slow.example"]
    monkeypatch.undo()
    asyncio.run(check_resolves(Rules(), "https://there-is-none.invalid/"))


def test_look_ups_are_bounded_and_hold_up_no_end(silent: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """So many at the same time; those that hang do not keep the loop, or the process, from its end."""
    monkeypatch.setattr(resolving, "_free", threading.Semaphore(2))

    async def main() -> None:
        waiting = [asyncio.create_task(look_up(f"n{n}.example", 80)) for n in range(3)]
        await until(lambda: len(silent) == 2, "two look-ups have begun")
        await asyncio.sleep(3 * resolving.LOOKUP_PAUSE_S)
        assert silent == ["n0.example", "n1.example"]
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)

    asyncio.run(main())
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "webhook-name")


def test_only_some_of_very_many_addresses_are_tried(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever owns a name says how many it has. A look-up that has ended makes room for another one."""
    monkeypatch.setattr(resolving, "_free", threading.Semaphore(1))
    names("many.example", [f"10.0.0.{n}" for n in range(100)])
    found = asyncio.run(Resolver().resolve("many.example", 80))
    assert [one["host"] for one in found] == [f"10.0.0.{n}" for n in range(resolving.ADDRESSES_MAX)]
    assert asyncio.run(Resolver().resolve("many.example", 80, socket.AF_INET6)) == []
    with pytest.raises(OSError, match="can't be a name"):
        asyncio.run(look_up("a" * 64, 80))


def test_a_name_that_resolves_elsewhere_later_is_refused_when_it_is_connected_to(names: Names) -> None:
    """At registration it is public; then it is this machine, where somebody listens, and nobody is connected to."""

    async def main() -> None:
        async with Receiver() as receiver:
            names("rebinding.example", [PUBLIC], ["127.0.0.1"])
            url = Rules().check_url(receiver.url("/ok", "rebinding.example"))
            await check_resolves(Rules(), url)
            answer = await posted(Rules(), url)
            assert answer.status is None
            assert "rebinding.example has an address that nothing is sent to: 127.0.0.1 is a loopback" in str(
                answer.error
            )
            assert receiver.connections == 0
            assert (await posted(LOOPBACK, url)).ok

    asyncio.run(main())


def test_each_connection_is_judged_anew(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    """That a name was fine when it was last connected to says nothing."""
    monkeypatch.setattr("workers.webhooks.resolving.NAMES_KEPT_S", 0)

    async def main() -> None:
        async with Receiver() as receiver, Poster(LOOPBACK) as poster:
            names("hook.example", ["127.0.0.1"], ["127.0.0.2"])
            receiver.script("/hook", "/half")  # it closes the connection
            url = receiver.url("/hook", "hook.example")
            assert (await poster.post(url, b"{}", {}, 20.0)).ok
            answer = await poster.post(url, b"{}", {}, 20.0)
            assert "127.0.0.2 is a loopback address" in str(answer.error)

    asyncio.run(main())


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0"]
)
def test_whatever_a_name_resolves_to_is_judged(names: Names, address: str) -> None:
    """Alone, and beside others that may not be sent to either."""

    async def main() -> None:
        for found in ([address], [address, "192.168.0.1", "fd00::1"]):
            names("hook.example", found)
            answer = await posted(Rules(), "http://hook.example:8080/?word")
            assert answer.status is None
            assert "Nothing is sent there" in str(answer.error)
            assert "word" not in str(answer.error)

    asyncio.run(main())


def test_of_several_addresses_one_that_may_be_sent_to_is_used(names: Names) -> None:
    """The others are passed over."""

    async def main() -> None:
        async with Receiver() as receiver:
            names("hook.example", ["127.0.0.2", "10.0.0.1", "127.0.0.1"])
            assert (await posted(LOOPBACK, receiver.url("/ok", "hook.example"))).ok

    asyncio.run(main())


def test_an_url_that_was_registered_by_other_rules_is_judged_again() -> None:
    """By those of the process that sends."""
    assert "url: 127.0.0.1 is a loopback" in str(asyncio.run(posted(Rules(), "http://0x7f.1:8080/")).error)
    rules = Rules(ports=((8080, 8080),))
    assert "the port 443" in str(asyncio.run(posted(rules, "https://example.com/")).error)
