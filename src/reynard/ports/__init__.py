"""What the engine needs of the world, as Protocols; the folders below `engine` on the other side fulfil them."""
