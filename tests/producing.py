"""A producer that does not use the library: it has a plain client, and the words of docs/commands.md."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from zlib import crc32

import redis

from tests.servers import wait_until
from tests.worker_process import Process

REPLY_TIMEOUT_S = 30.0
_ids = itertools.count()


class Producer:
    """Sends commands to one namespace, and reads what became of them."""

    def __init__(self, client: Any, namespace: str) -> None:
        self.client = client
        wait_until(lambda: bool(client.exists(f"{{{namespace}}}:commands")), "it is written down where commands go")
        self.where = {
            name.decode(): value.decode() for name, value in client.hgetall(f"{{{namespace}}}:commands").items()
        }
        self.partitions = int(self.where["partitions"])

    def partition(self, session: str) -> int:
        """Where the commands of a session go."""
        return (crc32(session.encode()) >> 16) * self.partitions >> 16

    def send(self, partition: int, command: str, body: Any, command_id: str | None = None) -> str:
        """Sends something; its command id."""
        name = f"command-{next(_ids)}" if command_id is None else command_id
        text = body if isinstance(body, str | bytes) else json.dumps(body)
        self.raw(partition, {"id": name, "command": command, "body": text})
        return name

    def raw(self, partition: int, fields: dict[Any, Any]) -> None:
        """Sends whatever this is."""
        self.client.xadd(self.where[str(partition)], fields)

    def create(self, session: str = "s", command_id: str | None = None, **more: Any) -> str:
        """A confirmation."""
        body = {"kind": "confirmation", "request_id": "r", "user_id": "u", "session_id": session, "message": "Go on?"}
        return self.send(self.partition(session), "create", body | more, command_id)

    def about(self, interrupt_id: str, command: str, command_id: str | None = None, **body: Any) -> str:
        """A command about an interrupt."""
        partition = int(interrupt_id[:4], 16) * self.partitions >> 16
        return self.send(partition, command, {"interrupt_id": interrupt_id, **body}, command_id)

    def respond(self, interrupt_id: str, command_id: str | None = None, **more: Any) -> str:
        """Yes."""
        return self.about(interrupt_id, "respond", command_id, **({"response": {"approved": True}} | more))

    def all_replies(self) -> list[tuple[str, str, dict[str, Any]]]:
        """The id, outcome and body of every reply, partition by partition."""
        return [
            (fields[b"id"].decode(), fields[b"outcome"].decode(), json.loads(fields[b"body"]))
            for partition in range(self.partitions)
            for _, fields in self.client.xrange(self.where[f"replies:{partition}"])
        ]

    def replies(self, command_id: str, count: int = 1) -> list[tuple[str, dict[str, Any]]]:
        """The outcomes and bodies of the replies to a command, once there are so many."""
        found: list[tuple[str, dict[str, Any]]] = []

        def there() -> bool:
            found[:] = [(outcome, body) for name, outcome, body in self.all_replies() if name == command_id]
            return len(found) >= count

        wait_until(there, f"{count} replies to {command_id}", REPLY_TIMEOUT_S)
        assert len(found) == count
        return found

    def reply(self, command_id: str) -> tuple[str, dict[str, Any]]:
        """The outcome and body of the one reply to a command."""
        return self.replies(command_id)[0]

    def made(self, command_id: str) -> str:
        """The interrupt that a command has made."""
        outcome, body = self.reply(command_id)
        assert outcome == "done", body
        return str(body["interrupt_id"])

    def waiting(self) -> int:
        """How many commands are not decided."""
        return sum(self.client.xlen(self.where[str(partition)]) for partition in range(self.partitions))

    def all_decided(self) -> None:
        """Returns when there is nothing left to decide."""
        wait_until(lambda: not self.waiting(), "all commands are decided", REPLY_TIMEOUT_S)


@contextmanager
def producer(port: int, namespace: str) -> Iterator[Producer]:
    """One for a server."""
    with redis.Redis(port=port, socket_timeout=5.0) as client:
        yield Producer(client, namespace)


@contextmanager
def deciders(url: str, namespace: str, *moments: str, partitions: int = 4, **more: str) -> Iterator[list[Process]]:
    """Processes that decide, each dying at its moment ("": it does not)."""
    module = "tests.command_process"
    processes = [Process(module, url, namespace, str(partitions), moment, json.dumps(more)) for moment in moments]
    try:
        for process in processes:
            assert process.ready()
        yield processes
    finally:
        for process in processes:
            process.end()
