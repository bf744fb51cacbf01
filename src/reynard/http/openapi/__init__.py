"""The API, described as OpenAPI 3.1."""

from reynard.http.openapi.document import document

__all__ = ["document"]
