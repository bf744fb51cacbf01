"""Blobs: on a disk, or in an S3-compatible store."""

from reynard.storage.blobs.disk import DiskBlobs

__all__ = ["DiskBlobs"]
