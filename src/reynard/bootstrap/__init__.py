"""The only place where parts are wired: settings in, a running gateway out.

Nothing is imported here: a command that needs the store alone does not wait for the rest.
"""
