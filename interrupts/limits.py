"""The bounds of everything, by name. Nothing in this package grows, waits or repeats without one of these."""

from __future__ import annotations

from typing import Final

# What callers may send.
ID_CHARS_MAX: Final = 512
"""A session, request, user, envelope or actor id, an idempotency key, a command id."""
PAYLOAD_BYTES_MAX: Final = 256 * 1024
"""One event as it is stored; `connect(payload_bytes_max=…)` changes it."""
NESTING_MAX: Final = 64
"""How deep `data` and schemas may be nested."""
INT_BITS_MAX: Final = 4_096
"""Whole numbers in `data`. Other languages may read far smaller ones only; this is what Python reads back."""
TTL_S_MAX: Final = 10 * 366 * 24 * 3600
"""The longest time to live: ten years."""
EVENTS_PER_INTERRUPT_MAX: Final = 1_000
"""How many events one interrupt may have, since its key carries them all."""
EVENTS_KEPT_FOR_THE_END: Final = 100
"""So many of them are not for moving its deadline: it must be possible to answer, and to mark who went on."""
PARTITIONS_MAX: Final = 1024
PARTITIONS_DEFAULT: Final = 16
NAMESPACE_CHARS_MAX: Final = 64

# How calls travel.
BATCH_ITEMS_MAX: Final = 256
"""Items in one script call. Larger batches make client and server take turns instead of working side by side."""
BATCH_BYTES_MAX: Final = 1024 * 1024
BATCHES_IN_FLIGHT_MAX: Final = 3
QUEUE_ITEMS_MAX: Final = 100_000
"""Calls of one process that wait to be sent. Beyond it a call is refused at once: nothing was sent."""
ATTEMPT_TIMEOUT_S: Final = 5.0
"""How long one attempt may take before it is made again on a new connection."""
CALL_TIMEOUT_S: Final = 20.0
"""How long a call keeps trying before it says that Redis is away."""
RETRY_PAUSE_FIRST_S: Final = 0.02
RETRY_PAUSE_MAX_S: Final = 1.0
DURABILITY_TIMEOUT_S: Final = 2.0
"""How long the server may take to confirm the durability asked for."""
DECIDE_AGAIN_MAX: Final = 16
"""How often a command is decided anew because others moved the interrupt meanwhile."""
PORT_TIMEOUT_S: Final = 10.0
"""How long a webhook or database port may hold up the call that it is told about."""

# Reading.
READ_COUNT_MAX: Final = 10_000
"""Events that one range read returns at most."""
TAIL_BLOCK_MS: Final = 2_000
"""How long one blocking read waits before it is made anew. It is no timer: nothing is due at its end."""
TAIL_COUNT_MAX: Final = 500
EXPIRE_BATCH_MAX: Final = 256
"""Overdue interrupts that are closed by one script call."""
EXPIRE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Bytes of overdue interrupts that are read in one go from a partition."""
ONCE_S: Final = 60.0
"""For how long it is remembered that an event was published, so that a repeated call does not publish it again; longer
than a call goes on. With an idempotency key it is a day."""
ONCE_KEYED_S: Final = 24 * 3600.0
WAIT_LINGER_S: Final = 10.0
"""For how long the log is followed on when nobody waits any more."""
WAIT_LAST_LOOK_S: Final = 1.0
"""How long the last look of a wait may take: what came in time is told, also if that was in the last moment."""
WAIT_MANY_MAX: Final = 10_000
"""Interrupts that one call waits for."""
SCHEMAS_CACHED_MAX: Final = 256
"""Compiled response schemas that one process keeps."""

# Views.
CHECKPOINT_EVENT_BYTES: Final = 64
"""How much of the event that it stands on a checkpoint remembers: its type, its interrupt and its version."""
CLOSED_PER_SESSION_MAX: Final = 1_000
"""Closed interrupts that a session's list keeps: the newest."""
FOLD_EVENTS_MAX: Final = 512
"""Events that are folded in one go: the server is not held up longer than by some appends."""
SCAN_KEYS: Final = 500
"""Keys that one look through the server's keys goes over, in which it serves nobody else."""
FOLD_EVENTS_FIRST: Final = 64
"""How many the first read asks for, as nobody knows yet how large they are."""
FOLD_BYTES_MAX: Final = 4 * 1024 * 1024
"""Bytes of events that are read in one go, as far as the sizes of those before let expect."""
CATCH_UP_EVENTS: Final = 1_000
"""A view further behind the others than this catches up on its own, so that they need not wait for it."""
FOLLOWERS_MAX: Final = 3
"""How many stretches of the log one process folds side by side: the server applies one while another is folded."""
LOOK_AGAIN_S: Final = 5.0
"""How long a view that can't go on is left alone before it is tried again."""
LOOK_AT_ALL_EVERY: Final = 6
"""So many times as long, until it is looked whether views with nothing to fold still stand on their log."""
LIST_LIMIT_MAX: Final = 1_000
"""Interrupts on one page of a list."""
LIST_LIMIT_DEFAULT: Final = 100
PENDING_OF_SESSION_MAX: Final = 10_000
"""Interrupts that `get_pending_for_session` returns at most; the page says if there are more."""
PAGE_BYTES_MAX: Final = 8 * 1024 * 1024
"""Bytes on one page, as stored; a page has at least one interrupt."""
PAGE_SCAN_MAX: Final = 1_000
"""Interrupts that one call looks at in one partition, where several filters are combined."""
PAGE_DEPTH_MAX: Final = 10_000
"""How deep page numbers reach; a cursor goes on without end."""
PAGE_ROUNDS_MAX: Final = 100
"""How often one call for a numbered page asks the views; then the page is short, and says that more may follow."""
CURSOR_CHARS_MAX: Final = 16 * 1024
VIEW_WAIT_S: Final = 5.0
"""How long a list waits for its view to show what was written before it; `connect(view_wait_s=…)` changes it."""
VIEW_UNATTENDED_WAIT_S: Final = 1.0
"""How long it waits when no process folds the views."""
VIEW_OLD_S: Final = 5.0
"""How long an event may wait to be folded, until lists that lack it are an error also for those who wrote nothing."""
VIEW_PAUSE_FIRST_S: Final = 0.001
VIEW_PAUSE_MAX_S: Final = 0.05
WORKER_SEEN_S: Final = 2.0
"""For how long a process that folds is taken to be there, once it was seen."""
WORKER_LEASE_S: Final = 5.0
"""For how long a process counts as being there after it last said so: then others take its work."""
WORKER_BEAT_S: Final = 1.0
"""How often it says so."""

# Rate limits.
RATE_LIMIT_MAX: Final = 1_000_000_000
"""The highest limit, and the highest cost of a call."""
RATE_RULES_MAX: Final = 1_000
"""Patterns that the limits by endpoint may have."""
RATE_ENDPOINTS_KNOWN_MAX: Final = 10_000
"""Endpoints for which a process remembers what holds there."""
RATE_CALL_TIMEOUT_S: Final = 2.0
"""How long a check keeps trying before it says that Redis is away; `connect(call_timeout_s=…)` changes it."""
RATE_ATTEMPT_TIMEOUT_S: Final = 1.0
RATE_ASK_AGAIN_S: Final = 1.0
"""How long requests pass, or are refused, without asking a limiter that was away a moment ago."""
RESERVATION_MAX_S: Final = 30.0
"""How long after a creation was let in it may be appended. Later it is let in anew, or refused."""
RESERVE_AGAIN_MAX: Final = 3
"""How often a creation is let in anew because it was not appended in time."""

# Commands of producers that do not use this library.
COMMAND_BODY_BYTES_MAX: Final = 1024 * 1024
"""The body of a command. What becomes of it is bounded as every event is."""
COMMANDS_READ_MAX: Final = 256
"""Commands of one partition that are read in one go, and decided in one step."""
COMMANDS_READ_BYTES_MAX: Final = 8 * 1024 * 1024
"""Bytes of commands that one read asks for, as far as the sizes of those before let expect."""
COMMANDS_WAITING_MAX: Final = 256
"""While so many commands of one partition are read and not decided, no more are read there."""
DESKS_LOOK_AGAIN_S: Final = 0.05
"""How often the others are looked at while commands wait in one partition that takes no more."""
COMMAND_LEASE_AGAIN_S: Final = 0.2
"""How long until a partition whose commands somebody else still decides is asked for again."""
REPLIES_MAX: Final = 10_000
"""Replies that one partition keeps, about: the newest."""
REPLY_MESSAGE_CHARS_MAX: Final = 500
REFUSALS_KEPT_S: Final = 24 * 3600
"""For how long a command id that was refused is refused again, and again with the same reply."""
REFUSALS_KEPT_MAX: Final = 10_000
"""Refusals that one partition remembers: the newest."""
COMMANDS_PARKED_MAX: Final = 1_000
"""Commands that one partition keeps because they were none, or could not be decided: the newest."""
COMMAND_PARKED_CHARS_MAX: Final = 16 * 1024
"""What is kept of each field of such a command."""

# Workers.
LEASE_S: Final = 6.0
"""For how long a process has a piece of work after it last said so: then others may take it."""
HELD_MAX: Final = 10_000
"""Events that a group of reactions holds apart in one partition: it reads no further there while there are so many."""
PARKED_MAX: Final = 10_000
"""Events that a group parks in one partition. Beyond it nothing more is parked: what fails is tried again and again."""
RELEASE_BATCH_MAX: Final = 500
"""Events that one script call takes out of what is parked, or hands to a group once more."""
REACT_EVENTS_MAX: Final = 1_000
"""Events that one read of a group of reactions asks for, in all its partitions."""
REACT_EVENTS_FIRST: Final = 64
"""How many the first read asks for, as nobody knows yet how large they are."""
REACT_UNDONE_MAX: Final = 2_000
"""Events of one partition that a group has read and not done yet: until there are fewer, it reads no further."""
REACT_BYTES_MAX: Final = 4 * 1024 * 1024
"""The bytes of the events that a group has in hand in one partition, beyond which it reads no further there."""
REACT_READ_BYTES_MAX: Final = 4 * 1024 * 1024
"""Bytes that one read asks for, as far as the sizes of events before let expect."""
REACT_HOLD_AFTER_S: Final = 2.0
"""A handler that takes longer than this does not hold up how far its group has come: its event is held."""
REACT_ACK_DELAY_S: Final = 0.02
"""For how long it may take until what was done is written down, so that it is written down together."""
REACT_SUSPECT_ALONE_S: Final = 1.0
"""For how long an event whose handler may have killed its process is handled alone."""
REACT_SUSPECT_ALONE_LEAST_S: Final = 0.05
"""The same when many have taken longer than that, and none has killed it."""
REACT_FULL_PAUSE_S: Final = 5.0
"""How long what could not be parked, for want of room, is left alone before it is tried again."""

# Webhooks.
HOOKS_MAX: Final = 10_000
"""Endpoints that one namespace has at most."""
HOOK_URL_CHARS_MAX: Final = 2_000
HOOK_PATTERNS_MAX: Final = 50
"""Patterns of events that one endpoint subscribes to."""
HOOK_HEADERS_MAX: Final = 20
"""Headers of its own that one endpoint is sent, and the characters of each of their values."""
HOOK_HEADER_CHARS_MAX: Final = 4_000
HOOK_TIMEOUT_S_MAX: Final = 120.0
"""How long an endpoint may take to answer, at most."""
HOOK_RETRIES_MAX: Final = 100
HOOK_RETRY_DELAY_S_MAX: Final = 24 * 3600.0
HOOK_CONCURRENCY_MAX: Final = 256
"""Deliveries that one process sends to one endpoint at once, at most."""
HOOK_OFF_AFTER_S: Final = 5 * 24 * 3600.0
"""For how long every try has failed when an endpoint is switched off, unless it says otherwise."""
HOOK_WAITING_MAX: Final = 100_000
"""Deliveries to one endpoint that wait in one partition. Those beyond are given up at once, and that is said."""
HOOK_WAITING_OFF_MAX: Final = 10_000
"""The same while it is switched off."""
HOOK_BYTES_MAX: Final = 4 * 1024 * 1024
"""Bytes of bodies that are kept for one endpoint in one partition; beyond it they are made again from the log."""
HOOK_FAILED_MAX: Final = 10_000
"""Deliveries to one endpoint that were given up and are kept in one partition: the newest. Their bodies take at most
half of `HOOK_BYTES_MAX`: without it, one is made again from the log."""
HOOK_RESULTS_MAX: Final = 50
"""Results that are kept for one endpoint in one partition: the newest."""
HOOK_IN_HAND_MAX: Final = 1_000
"""Deliveries that one process has in hand; what is beyond waits in Redis."""
HOOK_CLAIM_MARGIN_S: Final = 10.0
"""So much longer than an endpoint may take is a delivery one process's to send."""
HOOK_EVENTS_MAX: Final = 500
"""Events that one read for webhooks asks for."""
HOOK_ADDS_MAX: Final = 1_000
"""Deliveries that one script call writes down."""
HOOK_READ_BYTES_MAX: Final = 4 * 1024 * 1024
"""Bytes of events, or of bodies, that one call asks for, or carries, about."""
HOOK_NOTE_DELAY_S: Final = 0.01
"""For how long outcomes are gathered before they are written down."""
HOOK_LOOK_S: Final = 1.0
"""How often it is looked whether what is registered has changed."""
HOOK_LOOK_AT_ALL_S: Final = 30.0
"""How often all that waits is looked for anew, in case that somebody else has left it behind."""
HOOK_EXCERPT_CHARS_MAX: Final = 1_000
"""What is kept of an answer, of an error, and of a body."""
