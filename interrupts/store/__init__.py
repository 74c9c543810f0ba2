"""Everything that talks to Redis, from a connection up to the log. What it records is decided elsewhere.

lanes → routes → server → log
"""
