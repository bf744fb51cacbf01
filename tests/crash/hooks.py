"""What the receiver of all webhooks must have seen."""

import json
import queue

from tests.crash.books import ENDS, Books
from tests.receiver import Post, Receiver


class Hooks:
    """Every post of every gateway, by its `webhook-id`."""

    def __init__(self, receiver: Receiver) -> None:
        self.url = f"{receiver.url}/hooks"
        self._receiver = receiver
        self._seen: dict[str, Post] = {}

    def check(self, books: Books) -> None:
        """One id a task, whose end is kept, however often it was posted; and the same bytes each time."""
        for post in self._new():
            first = self._seen.setdefault(post.id, post)
            assert (post.path, post.body) == (first.path, first.body)
        ended = {f"msg_{task.id}": task for task in books.tasks if task.status in ENDS}
        assert self._seen.keys() == ended.keys()
        for post_id, post in self._seen.items():
            told, task = json.loads(post.body)["data"], ended[post_id]
            assert post.path == f"/hooks/{task.number}"
            assert (told["id"], told["status"]) == (task.id, task.status)

    def _new(self) -> list[Post]:
        found = []
        while True:
            try:
                found.append(self._receiver.posts.get_nowait())
            except queue.Empty:
                return found
