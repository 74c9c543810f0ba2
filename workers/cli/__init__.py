"""The command line. `app` has all commands with their options; what they do is imported when it is asked for.

Nothing here decides anything: each command is one call of the store, and the words around it.
"""
