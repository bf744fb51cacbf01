"""OpenAI's Responses API in front of any model: https://platform.openai.com/docs/api-reference/responses.

Pure translation: a body to a Generation, chunks and completions to Response objects and their events.
"""
