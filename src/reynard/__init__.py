"""Reynard: one endpoint for every LLM; durable tasks, resumable streams, plain completions."""

__version__ = "0.1.0"
