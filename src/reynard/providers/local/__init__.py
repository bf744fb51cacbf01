"""The real local model: a process of its own, reached over loopback by the openai dialect."""
