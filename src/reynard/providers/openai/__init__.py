"""The openai dialect: OpenAI Chat Completions, and the many servers that speak it."""

from reynard.providers.openai.codec import OpenAICodec

__all__ = ["OpenAICodec"]
