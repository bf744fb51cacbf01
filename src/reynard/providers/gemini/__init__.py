"""The gemini dialect: Google's generateContent, on the Gemini API and on Vertex AI."""

from reynard.providers.gemini.codec import GeminiCodec
from reynard.providers.gemini.files import GeminiUploader

__all__ = ["GeminiCodec", "GeminiUploader"]
