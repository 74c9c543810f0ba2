"""A creator for each kind, which knows where its words go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Unpack

from interrupts.checks import check_said, check_seconds
from interrupts.creation import CreateOptions
from interrupts.model import FlowInterrupt, InterruptKind


class Creators:
    """One method a kind. All take `CreateOptions` and refuse as `create_interrupt` does."""

    _make: Callable[..., Awaitable[FlowInterrupt]]
    """Makes an interrupt: kind, request, user and session id, envelope id, question, message, data, options."""

    async def create_clarification(
        self,
        request_id: str,
        user_id: str,
        session_id: str,
        question: str,
        envelope_id: str | None = None,
        context: dict[str, Any] | None = None,
        **options: Unpack[CreateOptions],
    ) -> FlowInterrupt:
        """A question that is answered in words. `context` may hold `options` to choose from."""
        check_said("question", question)
        return await self._make(
            InterruptKind.CLARIFICATION,
            request_id,
            user_id,
            session_id,
            envelope_id,
            question,
            None,
            context,
            options,
        )

    async def create_confirmation(
        self,
        request_id: str,
        user_id: str,
        session_id: str,
        message: str,
        envelope_id: str | None = None,
        action_data: dict[str, Any] | None = None,
        **options: Unpack[CreateOptions],
    ) -> FlowInterrupt:
        """Something that waits for a yes or a no. `action_data` is the very action that is approved."""
        check_said("message", message)
        return await self._make(
            InterruptKind.CONFIRMATION,
            request_id,
            user_id,
            session_id,
            envelope_id,
            None,
            message,
            action_data,
            options,
        )

    async def create_agent_review(
        self,
        request_id: str,
        user_id: str,
        session_id: str,
        message: str,
        envelope_id: str | None = None,
        review_data: dict[str, Any] | None = None,
        **options: Unpack[CreateOptions],
    ) -> FlowInterrupt:
        """Work that waits for a decision: approve, reject or modify. `review_data` is the work."""
        check_said("message", message)
        return await self._make(
            InterruptKind.AGENT_REVIEW,
            request_id,
            user_id,
            session_id,
            envelope_id,
            None,
            message,
            review_data,
            options,
        )

    async def create_checkpoint(
        self,
        request_id: str,
        user_id: str,
        session_id: str,
        message: str | None = None,
        envelope_id: str | None = None,
        state: dict[str, Any] | None = None,
        **options: Unpack[CreateOptions],
    ) -> FlowInterrupt:
        """A place to go on from. `state` is what is needed for that. It has no deadline unless one is given."""
        return await self._make(
            InterruptKind.CHECKPOINT, request_id, user_id, session_id, envelope_id, None, message, state, options
        )

    async def create_resource_exhausted(
        self,
        request_id: str,
        user_id: str,
        session_id: str,
        resource_type: str,
        retry_after_seconds: float,
        envelope_id: str | None = None,
        **options: Unpack[CreateOptions],
    ) -> FlowInterrupt:
        """A limit was reached. `data` has the `resource_type` and `retry_after_seconds`."""
        check_said("resource_type", resource_type)
        check_seconds("retry_after_seconds", retry_after_seconds)
        return await self._make(
            InterruptKind.RESOURCE_EXHAUSTED,
            request_id,
            user_id,
            session_id,
            envelope_id,
            None,
            f"{resource_type} is exhausted; try again in {retry_after_seconds} seconds.",
            {"resource_type": resource_type, "retry_after_seconds": retry_after_seconds},
            options,
        )

    async def create_timeout(
        self,
        request_id: str,
        user_id: str,
        session_id: str,
        operation: str,
        timeout_seconds: float,
        envelope_id: str | None = None,
        **options: Unpack[CreateOptions],
    ) -> FlowInterrupt:
        """Something took too long. `data` has the `operation` and `timeout_seconds`."""
        check_said("operation", operation)
        check_seconds("timeout_seconds", timeout_seconds)
        return await self._make(
            InterruptKind.TIMEOUT,
            request_id,
            user_id,
            session_id,
            envelope_id,
            None,
            f"{operation} took longer than {timeout_seconds} seconds.",
            {"operation": operation, "timeout_seconds": timeout_seconds},
            options,
        )

    async def create_system_error(
        self,
        request_id: str,
        user_id: str,
        session_id: str,
        message: str,
        envelope_id: str | None = None,
        error_data: dict[str, Any] | None = None,
        **options: Unpack[CreateOptions],
    ) -> FlowInterrupt:
        """Something broke, and somebody should see it. `error_data` is what is known."""
        check_said("message", message)
        return await self._make(
            InterruptKind.SYSTEM_ERROR,
            request_id,
            user_id,
            session_id,
            envelope_id,
            None,
            message,
            error_data,
            options,
        )
