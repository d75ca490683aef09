"""pystac-client on this API: the client, its I/O, and the repairs that the documents need."""
