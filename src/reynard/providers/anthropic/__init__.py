"""The anthropic dialect: Anthropic's Messages API, and Claude on Vertex AI."""

from reynard.providers.anthropic.codec import AnthropicCodec

__all__ = ["AnthropicCodec"]
