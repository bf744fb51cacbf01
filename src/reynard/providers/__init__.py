"""Dialects as pure codecs, and the transports that carry their bytes."""
