"""Webhooks: endpoints that are told what happens, durably, signed, and only where it is safe to send."""

from interrupts.signatures import new_secret, verify
from workers.webhooks.hooks import Webhooks
from workers.webhooks.model import (
    Delivery,
    DeliveryStatus,
    Endpoint,
    EndpointStats,
    Resent,
    WebhookConfig,
    WebhookDeliveryResult,
)
from workers.webhooks.rules import Rules
from workers.webhooks.service import WebhookService
from workers.webhooks.subscriber import WebhookSubscriber

__all__ = [
    "Delivery",
    "DeliveryStatus",
    "Endpoint",
    "EndpointStats",
    "Resent",
    "Rules",
    "WebhookConfig",
    "WebhookDeliveryResult",
    "WebhookService",
    "WebhookSubscriber",
    "Webhooks",
    "new_secret",
    "verify",
]
