"""Creating: every kind, its defaults, and what a caller may say instead."""

from __future__ import annotations

import asyncio

import pytest

from interrupts import InterruptKind, InterruptStatus, connect


@pytest.mark.parametrize("kind", list(InterruptKind))
def test_every_kind_is_created_and_read_back(kind: InterruptKind, url: str, namespace: str) -> None:
    """What create returns is what get returns, for each kind."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            created = await service.create_interrupt(kind, "r", "u", "s", message="m", data={"a": [1, None, "ü"]})
            assert await service.get_interrupt(created.id) == created
            assert (created.kind, created.status, created.version) == (kind, InterruptStatus.PENDING, 1)

    asyncio.run(main())
