"""Assets become files on disk: whole, checked, and a catalogue that opens offline.

:mod:`.wanted` decides what to bring and :mod:`.naming` where it goes. A :mod:`.run` has a
:mod:`.crew` bring files side by side: in :mod:`.bringing` one is fetched into :mod:`.parts`,
looked at by :mod:`.checks` and given its name. :mod:`.manifest` and :mod:`.catalogue` write down
what is there. How bytes are got is :mod:`constellr_stac.reading.http`' business.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from constellr_stac._files import disk_error
from constellr_stac.reading.http import Transfer
from constellr_stac.reading.resolver import AssetResolver

from .manifest import open_manifest
from .progress import display_for
from .results import Downloaded
from .run import Run
from .selection import wanted

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.signing.signer import Signer
    from constellr_stac.stac.items import Items

    from .naming import Layout
    from .selection import Wanted

__all__ = ["Downloaded", "download"]


def download(
    items: Items,
    path: str | os.PathLike[str],
    *,
    assets: str | Sequence[str] | None = None,
    layout: Layout = "provider",
    overwrite: bool = False,
    verify: bool | Literal["structure"] = True,
    max_workers: int = 16,
    progress: bool = True,
    auth: ConstellrAuth | Credential | None = None,
    signer: Signer | None = None,
) -> Downloaded:
    """Download the files of scenes; run it again to go on, or to bring what is new.

    A file has its name only when it is whole. What has come of a file is kept when a run ends
    early, for whatever reason, and the next run goes on from there, if the object is the same
    still. Signed URLs that end on the way are renewed.

    The folder is a static STAC catalogue (``catalog.json``), which :func:`constellr_stac.load`
    opens without a network, with the same values; ``manifest.json`` says where each file came
    from, its size, its SHA-256, when it came and what it was compared with.

    Args:
        items: A search, an ItemCollection, items, or their dicts.
        path: The folder; made if need be. One run at a time works on it.

    Keyword Args:
        assets: Asset keys (``lst``) or layer names; default all assets. An item may lack one.
        layout: ``"provider"``: ``<datetime>_<id>/<file>``, as in the provider's own example;
            ``"collection"``: ``<collection>/<date>/<id>/<file>``; ``"flat"``: ``<id>_<file>``;
            or a function of item and asset key that returns a path relative to the folder. A
            folder keeps the layout that it was begun with.
        overwrite: Whether to bring files again that are there. Otherwise a file that an earlier
            run has brought is not asked for, and any other of the same name has to be the same.
        verify: Whether to compare each file with what is said of it: its length, the item's
            ``file:checksum``, S3's checksums and MD5 ETags. ``"structure"`` also decodes every
            block of each GeoTIFF, of those too that are there. ``False`` takes what comes.
        max_workers: How many files are fetched at once.
        progress: Whether to show bars on standard error: in a terminal, and in a notebook where
            tqdm is installed. Elsewhere there are none.
        auth: Asks the API for items whose signed URLs have ended; a credential will do.
        signer: Signs ``s3://`` hrefs.

    Returns:
        The files that were brought and those that were there, as paths; and the bytes that came.
        A search that finds nothing brings nothing.

    Raises:
        AuthenticationError: The API does not take the credential.
        CredentialsNotFoundError: There is none.
        DownloadError: A name would lead out of the folder or clash with another; the disk is
            full or may not be written. An :class:`.IncompleteDownloadError` if some files could
            not be brought, and all others were.
        KeyboardInterrupt: It was interrupted (Ctrl-C); the message tells what is there.
        SigningError: There are ``s3://`` hrefs, and no credentials for them.
        TypeError: ``items`` holds something else, or ``layout`` gives something else.
        ValueError: There is no such asset or layout, or an argument is out of range.

    Example:
        >>> import constellr_stac
        >>> constellr_stac.download(search, "scenes", assets=["lst"])  # doctest: +SKIP
        <Downloaded 15 files, 1.4 MB, in 0.4 s to 'scenes'>
    """
    if max_workers < 1:
        raise ValueError(f"max_workers= is at least 1, not {max_workers}.")
    if verify not in (True, False, "structure"):
        raise ValueError(f'verify= is True, False or "structure", not {verify!r}.')
    folder = Path(path).expanduser()
    found = wanted(items, assets, layout)
    if not found.items:
        return Downloaded(folder)
    resolver = AssetResolver(auth, signer)
    for one in found.items:
        resolver.remember(one.item)
    _check_hrefs(found, resolver)
    files = len(found.files)
    try:
        with open_manifest(folder, layout if isinstance(layout, str) else "callable") as manifest:
            return Run(
                found,
                folder,
                manifest,
                Transfer(resolver, max_workers),
                display_for(files, wanted=progress),
                overwrite=overwrite,
                verify=verify,
                workers=max_workers,
            )()
    except OSError as error:
        raise disk_error(error, Path(error.filename or folder)) from error


def _check_hrefs(found: Wanted, resolver: AssetResolver) -> None:
    """Sign what is to be signed, and find out before anything is written that it cannot be."""
    resolver.signer.sign_hrefs([file.reference.href for file in found.files])
