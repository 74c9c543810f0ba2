"""One attempt: whatever a receiver does is an answer in plain words, within its time, and without anybody's secrets."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.receiver import Receiver, process
from tests.servers import free_port, until
from workers.webhooks import posting, resolving
from workers.webhooks.posting import BODY_CHARS_MAX, LOCATION_CHARS_MAX, RETRY_AFTER_S_MAX, Answer, Poster
from workers.webhooks.rules import Rules

LOOPBACK = Rules(networks=("127.0.0.0/8", "::1"))
TIMEOUT_S = 20.0
SOON_S = 0.3
NEVER_S = 3_600.0
NO_ANSWER = "the connection was closed before an answer came"


def attempt(path: str, timeout_s: float = TIMEOUT_S) -> tuple[Answer, Receiver]:
    """One attempt at a receiver that answers so."""

    async def main() -> tuple[Answer, Receiver]:
        async with Receiver() as receiver, Poster(LOOPBACK) as poster:
            return await poster.post(receiver.url(path), b"{}", {}, timeout_s), receiver

    return asyncio.run(main())


def at(url: str, tls: ssl.SSLContext | None = None) -> Answer:
    """One attempt at this url."""

    async def main() -> Answer:
        async with Poster(LOOPBACK, tls) as poster:
            return await poster.post(url, b"{}", {"X-Key": "word"}, TIMEOUT_S)

    return asyncio.run(main())


def test_what_is_sent_is_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes of the body, the headers, the path with its query; and nothing that the environment says."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
    body = '{"text":"ü 🙂"}'.encode() + bytes(range(256))

    async def main() -> None:
        async with Receiver() as receiver, Poster(LOOPBACK) as poster:
            url = receiver.url("/ok/a/../b?x=%20&y=a+b%2F")
            answer = await poster.post(url, body, {"webhook-id": "msg_1", "X-Own": "a"}, TIMEOUT_S)
            assert answer == Answer(200, "ok", None, None, answer.duration_ms)
            assert answer.ok
            assert not answer.gone
            (request,) = receiver.requests
            assert (request.path, request.body, request.id) == ("/ok/a/../b?x=%20&y=a+b%2F", body, "msg_1")
            agent = request.headers.pop("user-agent")
            assert agent.startswith("interrupts-webhooks/")
            assert request.headers == {
                "host": f"127.0.0.1:{receiver.port}",
                "content-type": "application/json",
                "content-length": str(len(body)),
                "accept": "*/*",
                "accept-encoding": "identity",
                "webhook-id": "msg_1",
                "x-own": "a",
            }
            await poster.post(receiver.url("/ok"), b"", {"content-type": "text/plain", "USER-AGENT": "me"}, TIMEOUT_S)
            headers = receiver.requests[-1].headers
            assert (headers["content-type"], headers["user-agent"]) == ("text/plain", "me")

    asyncio.run(main())


def test_a_large_body_is_sent_whole() -> None:
    """Several megabytes."""
    body = bytes(range(256)) * 16_000

    async def main() -> None:
        async with Receiver() as receiver, Poster(LOOPBACK) as poster:
            assert (await poster.post(receiver.url("/ok"), body, {}, TIMEOUT_S)).ok
            assert receiver.requests[0].body == body

    asyncio.run(main())


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299, 304, 400, 401, 404, 410, 429, 500, 503, 599, 999])
def test_a_status_is_an_answer(status: int) -> None:
    """A failure if it is not 2xx; 410 says that the receiver is gone for good."""
    answer, _ = attempt(f"/status/{status}")
    assert answer.status == status
    assert answer.ok == (200 <= status <= 299)
    assert answer.gone == (status == 410)
    assert answer.error == (None if answer.ok else f"it answered {status}")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/drop", NO_ANSWER),
        ("/drop-unread", NO_ANSWER),
        ("/half-head", NO_ANSWER),
        ("/garbage", "what came back is not HTTP"),
        ("/status/42", "what came back is not HTTP"),
    ],
)
def test_no_answer_is_told_in_words(path: str, said: str) -> None:
    """And it was sent once."""
    answer, receiver = attempt(f"{path}?word")
    assert answer == Answer(None, None, said, None, answer.duration_ms)
    assert not answer.ok
    assert len(receiver.requests) == 1


def test_the_time_limit_is_for_all_of_it() -> None:
    """A receiver that never answers, whose headers never end, that does not read, or does not do TLS."""

    async def stalls(served: Callable[[asyncio.StreamWriter], Awaitable[None]], url: str, size: int = 2) -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await served(writer)
                await reader.read()
            except OSError:
                pass  # the caller has gone
            finally:
                writer.transport.abort()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with server, Poster(LOOPBACK) as poster:
            port = server.sockets[0].getsockname()[1]
            answer = await poster.post(url.format(port), bytes(size), {}, SOON_S)
            assert (answer.status, answer.error) == (None, "timed out: no answer came within 0.3 s")

    async def nothing(_: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2 * SOON_S)  # what was sent is not read

    async def head_without_end(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(b"X-More: 1\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    async def main() -> None:
        await stalls(nothing, "http://127.0.0.1:{}/", 30_000_000)
        await stalls(nothing, "https://127.0.0.1:{}/")
        await stalls(head_without_end, "http://127.0.0.1:{}/")

    asyncio.run(main())
    assert attempt("/hang", SOON_S)[0].error == "timed out: no answer came within 0.3 s"


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the system must be able to do this")
def test_a_receiver_that_does_not_read_keeps_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it did not take within the time waits for it, but not for long."""
    monkeypatch.setattr(resolving, "UNREAD_S", SOON_S)
    made: list[socket.socket] = []
    real = resolving._judged_socket

    def noted(rules: Rules, info: Any) -> socket.socket:
        made.append(real(rules, info))
        return made[-1]

    monkeypatch.setattr(resolving, "_judged_socket", noted)

    async def main() -> None:
        closed = asyncio.Event()

        async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await closed.wait()
            writer.transport.abort()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with server, Poster(LOOPBACK) as poster:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            assert "timed out" in str((await poster.post(url, bytes(30_000_000), {}, SOON_S)).error)
            (one,) = made
            await until(lambda: one.fileno() == -1, "the socket is closed")
            closed.set()

    asyncio.run(main())


def test_a_body_changes_nothing_of_what_the_status_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it breaks off, drips without an end, or is huge: it is read as far as it is wanted, and is not waited for
    longer than a body is, nor than all of it."""
    answer, _ = attempt("/half")
    assert (answer.status, answer.body, answer.error) == (200, "x" * 500, None)
    answer, _ = attempt("/huge/50000000")
    assert (answer.ok, answer.body, answer.error) == (True, "x" * BODY_CHARS_MAX, None)
    for body_timeout_s, timeout_s in ((SOON_S, NEVER_S), (NEVER_S, 5 * SOON_S)):
        monkeypatch.setattr(posting, "BODY_TIMEOUT_S", body_timeout_s)
        answer, _ = attempt("/drip/0.01", timeout_s)
        assert answer.ok
        assert answer.error is None
        assert set(str(answer.body)) == {"x"}


def test_a_body_is_harmless_to_show() -> None:
    """Control characters, what turns the direction of writing, and what is no text at all are replaced."""
    answer, _ = attempt("/status/500?body=" + quote("a\x1b[31m\x00\u202eb\r\n\tü🙂"))
    assert answer.body == "a\ufffd[31m\ufffd\ufffdb\ufffd\n\tü🙂"
    assert attempt("/status/200?Content-Encoding=gzip&body=plain")[0].body == "plain"


def test_bytes_that_are_no_text_are_replaced() -> None:
    """Each of them."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 500 Oops\r\n\r\n\xff\xfeab\xc3")
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with server, Poster(LOOPBACK) as poster:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            assert (await poster.post(url, b"", {}, TIMEOUT_S)).body == "\ufffd\ufffdab\ufffd"

    asyncio.run(main())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_that_is_not_followed(status: int) -> None:
    """It is named without what may be secret in it, and bounded."""

    async def main() -> None:
        async with Receiver() as receiver, Poster(LOOPBACK) as poster:
            there = receiver.url("/there").replace("//", "//me:word@")
            where = receiver.url(f"/status/{status}?Location={quote(there + '?token=word#word')}")
            answer = await poster.post(where, b"{}", {}, TIMEOUT_S)
            assert answer.status == status
            assert f"a redirect to {receiver.url('/there')}, which is not followed" in str(answer.error)
            assert "word" not in str(answer.error)
            receiver.script("/hook", f"/status/{status}?Location={quote('https://a.b/' + 'a' * 5_000)}")
            answer = await poster.post(receiver.url("/hook"), b"{}", {}, TIMEOUT_S)
            assert LOCATION_CHARS_MAX < len(str(answer.error)) < LOCATION_CHARS_MAX + 100
            assert len(receiver.requests) == 2

    asyncio.run(main())


def test_cookies_are_not_kept() -> None:
    """What a receiver sets, nobody gets."""

    async def main() -> None:
        async with Receiver() as receiver, Poster(LOOPBACK) as poster:
            await poster.post(receiver.url("/status/200?Set-Cookie=a%3Db%3BPath%3D/"), b"", {}, TIMEOUT_S)
            await poster.post(receiver.url("/ok"), b"", {}, TIMEOUT_S)
            assert "cookie" not in receiver.requests[1].headers

    asyncio.run(main())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0), ("7", 7), ("3599", 3599), ("3601", RETRY_AFTER_S_MAX), ("9" * 5_000, RETRY_AFTER_S_MAX),
        (format_datetime(datetime(2099, 1, 1, tzinfo=UTC), usegmt=True), RETRY_AFTER_S_MAX),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("Wed, 21 Oct 2015 07:28:00 -0000", 0),
        ("", None), ("-1", None), ("1.5", None), ("soon", None), ("٣", None), ("Wed, 99 Oct 2015", None),
        ("Wed, 21 Oct 99999 07:28:00 GMT", None), ("1e3", None), ("nan", None),
        ("Wed, 21 Oct 2015 07:28:00 +99999999999999999", None),
    ],
)  # fmt: skip
def test_retry_after_is_taken_within_its_bound(text: str, seconds: float | None) -> None:
    """Seconds or a time; anything else is passed over."""

    async def main() -> None:
        async with Receiver() as receiver, Poster(LOOPBACK) as poster:
            receiver.script("/hook", f"/status/429?Retry-After={quote(text)}")
            answer = await poster.post(receiver.url("/hook"), b"{}", {}, TIMEOUT_S)
            assert (answer.status, answer.retry_after_s) == (429, seconds)

    asyncio.run(main())


def test_a_time_to_come_is_so_many_seconds_away() -> None:
    """By the clock of this machine; with a success it says nothing."""
    when = quote(format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True))
    seconds = attempt(f"/status/503?Retry-After={when}")[0].retry_after_s
    assert seconds is not None
    assert 500 < seconds <= 600
    assert attempt("/status/200?Retry-After=5")[0].retry_after_s is None


def test_what_can_not_be_reached_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port where nobody listens, a name that there is not, a header that HTTP does not allow, rules, and the end."""
    port = free_port()
    assert at(f"http://127.0.0.1:{port}/?word").error == f"no connection to 127.0.0.1, port {port}: Connection refused"

    def getaddrinfo(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", getaddrinfo)
        answer = at("http://there-is-none.example/?word")
    assert answer.error == "the name there-is-none.example does not resolve now: Name or service not known"
    assert "port 22 is not among" in str(at("http://127.0.0.1:22/?word").error)

    async def main() -> None:
        async with Receiver() as receiver, Poster(LOOPBACK) as poster:
            for headers in ({"X-Key": "word\r\nHost: there"}, {"X-Key\n": "word"}):
                answer = await poster.post(receiver.url("/ok"), b"", headers, TIMEOUT_S)
                assert "one of its headers is not allowed" in str(answer.error)
                assert "word" not in str(answer.error)
            assert receiver.requests == []
        answer = await poster.post(receiver.url("/ok"), b"", {}, TIMEOUT_S)
        assert answer.error == "it could not be sent (RuntimeError)"

    asyncio.run(main())


def test_a_connection_is_used_again_and_dropped_if_more_would_come() -> None:
    """One after the other is sent on the same connection, but not after an answer that was not read to its end."""

    async def main() -> None:
        async with Receiver() as receiver, Poster(LOOPBACK) as poster:
            for path in ("/ok", "/status/500?body=a", "/status/204", "/huge/10000", "/ok"):
                await poster.post(receiver.url(path), b"{}", {}, TIMEOUT_S)
            assert receiver.connections == 1
            await poster.post(receiver.url("/huge/1000000"), b"{}", {}, TIMEOUT_S)
            await poster.post(receiver.url("/ok"), b"{}", {}, TIMEOUT_S)
            assert receiver.connections == 2

    asyncio.run(main())


def test_many_at_once_hold_up_nobody() -> None:
    """There is no bound of its own; one that is cancelled ends, and so does its connection."""

    async def main() -> None:
        async with Receiver() as receiver, Poster(LOOPBACK) as poster:
            tasks = [asyncio.create_task(poster.post(receiver.url("/hang"), b"{}", {}, TIMEOUT_S)) for _ in range(150)]
            await until(lambda: receiver.at_once["/hang"] == len(tasks), "all are there at once")
            assert (await poster.post(receiver.url("/ok"), b"{}", {}, TIMEOUT_S)).ok
            tasks[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await tasks[0]
            await until(lambda: receiver.at_once["/hang"] == len(tasks) - 1, "the receiver sees that it has gone")
            receiver.release()
            assert all([(await task).ok for task in tasks[1:]])
            assert receiver.most_at_once["/hang"] == len(tasks)

    asyncio.run(main())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of this machine's address and no name, with its key in the same file; nobody has signed it."""
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    asked = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=receiver"
    extension = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(file), "-out", f"{file}.crt"]
    subprocess.run(["openssl", *asked.split(), *extension], check=True, capture_output=True)
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


def test_certificates_are_verified(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By those that the system trusts, or by what was given; also whether it is this host's."""
    monkeypatch.setattr(posting, "BODY_TIMEOUT_S", SOON_S)
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=f"{certificate}.crt")

    async def main() -> None:
        async with Receiver(tls=served) as receiver:
            async with Poster(LOOPBACK) as poster:
                answer = await poster.post(receiver.url("/ok?word"), b"{}", {}, TIMEOUT_S)
                why = "TLS failed, since the certificate of 127.0.0.1 is not accepted: self-signed certificate"
                assert str(answer.error).replace("self signed", "self-signed") == why
            async with Poster(LOOPBACK, trusting) as poster:
                assert (await poster.post(receiver.url("/ok"), b"{}", {}, TIMEOUT_S)).ok
                answer = await poster.post(receiver.url("/ok", "localhost"), b"{}", {}, TIMEOUT_S)
                assert "certificate of localhost is not accepted: Hostname mismatch" in str(answer.error)
                answer = await poster.post(receiver.url("/ok").replace("https", "http"), b"{}", {}, TIMEOUT_S)
                assert answer.error == NO_ANSWER
                await poster.post(receiver.url("/drip/0.01"), b"{}", {}, TIMEOUT_S)
            assert [request.path for request in receiver.requests] == ["/ok", "/drip/0.01"]

    asyncio.run(main())


def test_tls_with_somebody_who_does_not_speak_it_fails() -> None:
    """In words, too."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with server, Poster(LOOPBACK) as poster:
            port = server.sockets[0].getsockname()[1]
            answer = await poster.post(f"https://127.0.0.1:{port}/?word", b"", {}, TIMEOUT_S)
            assert str(answer.error).startswith(f"TLS failed with 127.0.0.1, port {port}: ")

    asyncio.run(main())


def test_a_receiver_answers_by_its_script_and_in_another_process(tmp_path: Path) -> None:
    """What the other tests rely on: steps in turn, of which the last one stays; and the ids that came to a process."""

    async def main() -> None:
        async with Receiver() as receiver, Poster(LOOPBACK) as poster:
            receiver.script("/hook", "/status/500", "/drop", "/ok")
            answers = [(await poster.post(receiver.url("/hook"), b"{}", {}, TIMEOUT_S)).status for _ in range(4)]
            assert answers == [500, None, 200, 200]
            assert len(await receiver.got(4, "/hook")) == 4
            assert await receiver.got(4) == receiver.of("/hook")
        with process(tmp_path) as other:
            async with Poster(LOOPBACK) as poster:
                for number in range(3):
                    assert (await poster.post(other.url("/ok"), b"{}", {"webhook-id": f"msg_{number}"}, TIMEOUT_S)).ok
            assert other.ids() == ["msg_0", "msg_1", "msg_2"]

    asyncio.run(main())
