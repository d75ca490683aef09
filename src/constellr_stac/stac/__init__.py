"""pystac-client for this API: the client, its I/O, and fixes to the API's documents."""

import pystac

# pystac looks for its extensions when it parses the first document. Threads that parse meanwhile
# would fail, or not see all of them; so it looks here, under the lock of this import.
pystac.EXTENSION_HOOKS.get_extended_object_links(pystac.Catalog("any", "any"))
