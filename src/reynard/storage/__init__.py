"""Back-ends of the store, the chunk log and the blobs."""
