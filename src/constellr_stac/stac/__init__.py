"""pystac-client for this API: the client, its I/O, and fixes to the API's documents."""
