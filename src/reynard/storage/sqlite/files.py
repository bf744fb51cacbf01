"""The files of the SQLite store."""

import sqlite3

from reynard.core.errors import StorageFull
from reynard.core.files import File
from reynard.ports.store import FilePage
from reynard.storage.sqlite.rows import Row, Rows


class FileRows(Rows):
    """`ports.store.Files`."""

    async def add_file(self, file: File, quota: int, *, cleanup: bool) -> list[File]:
        """See the port."""
        return await self._writer.run(lambda connection: self._add(connection, file, quota, cleanup))

    async def file_by_token(self, token: str) -> File | None:
        """See the port."""
        return next(map(_file, self._rows("file_by_token", (token,))), None)

    async def find_file(self, file_id: str) -> File | None:
        """See the port."""
        return next(map(_file, self._rows("find_file", (file_id,))), None)

    async def list_files(self, key_id: str, after: str | None, limit: int) -> FilePage:
        """See the port."""
        wanted = {"key_id": key_id, "after": after, "limit": limit}
        found = [_file(row) for row in await self._listed(key_id, self._sql["list_files"], wanted)]
        return FilePage(found[:limit], has_more=len(found) > limit)

    async def delete_file(self, file_id: str) -> bool:
        """See the port."""
        sql = self._sql["delete_file"]
        return await self._writer.run(lambda connection: connection.execute(sql, (file_id,)).rowcount) == 1

    async def expired_files(self, now: float, limit: int) -> list[File]:
        """See the port."""
        return [_file(row) for row in self._rows("expired_files", (now, limit))]

    def _add(self, connection: sqlite3.Connection, file: File, quota: int, cleanup: bool) -> list[File]:
        """On the writer's thread: several statements, of which all count or none."""
        leaving = self._leaving(connection, file, quota, cleanup)
        row = (*(file.id, file.key_id, file.name, file.type, file.size), *(file.sha256, file.token))
        for old in leaving:
            connection.execute(self._sql["delete_file"], (old.id,))
        connection.execute(self._sql["add_file"], (*row, file.created, file.expires))
        return leaving

    def _leaving(self, connection: sqlite3.Connection, file: File, quota: int, cleanup: bool) -> list[File]:
        """The files that make room, oldest first. Raises `StorageFull`."""
        row = connection.execute(self._sql["file_bytes"], (file.key_id,)).fetchone()
        excess = (0 if row is None else row[0]) + file.size - quota
        leaving: list[File] = []
        if excess <= 0:
            return leaving
        for old in map(_file, connection.execute(self._sql["oldest_files"], (file.key_id,))):
            if not (cleanup or old.expires <= file.created):
                break
            leaving.append(old)
            excess -= old.size
            if excess <= 0:
                return leaving
        raise StorageFull(
            f"The file does not fit into the {quota} bytes that this key may keep. Delete files, or let the oldest go "
            "with `auto_cleanup`."
        )


def _file(row: Row) -> File:
    return File(
        id=row[0],
        key_id=row[1],
        name=row[2],
        type=row[3],
        size=row[4],
        sha256=row[5],
        token=row[6],
        created=row[7],
        expires=row[8],
    )
