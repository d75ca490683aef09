"""Download assets as verified files, with a static STAC catalog that opens offline."""

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
from .selection import select_files

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from constellr_stac.auth.credentials import Credential
    from constellr_stac.auth.requests_auth import ConstellrAuth
    from constellr_stac.limits import Limits
    from constellr_stac.signing.signer import Signer
    from constellr_stac.stac.items import Items

    from .naming import Layout

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
    limits: Limits | None = None,
    local_files: bool = False,
) -> Downloaded:
    """Download the files of scenes; re-run to resume, or to add new scenes.

    A file gets its name once it is complete. Partial downloads are kept and resumed by the next
    run if the object has not changed. Expired signed URLs are renewed.

    The folder is a static STAC catalog (``catalog.json``) that :func:`constellr_stac.load` opens
    offline, with the same values. ``manifest.json`` records each file's source, size, SHA-256,
    download time and the checks it passed.

    Args:
        items: A search, an ItemCollection, items, or their dicts.
        path: The folder; created if missing. One run at a time can use it.

    Keyword Args:
        assets: Asset keys or layer names (``lst``); default all assets. An item may lack some.
        layout: ``"provider"``: ``<datetime>_<id>/<file>``, as in the provider's own example;
            ``"collection"``: ``<collection>/<date>/<id>/<file>``; ``"flat"``: ``<id>_<file>``;
            or a function of item and asset key that returns a path relative to the folder. A
            folder keeps its first layout.
        overwrite: Download existing files again. Otherwise files from earlier runs are skipped,
            and other existing files must equal the asset.
        verify: Compare each file with its stated size, the item's ``file:checksum``, S3's
            checksums and MD5 ETags. ``"structure"`` also decodes every block of each GeoTIFF,
            including existing ones. ``False`` skips verification.
        max_workers: Number of files to fetch at once.
        progress: Show progress bars on standard error, in a terminal or (with tqdm) a notebook.
        auth: An auth or a credential, to renew signed URLs through the API.
        signer: Signs ``s3://`` hrefs.
        limits: Bounds on waiting and sizes; default from the environment.
        local_files: Whether items that came from a server may name files of this machine, since
            you set their hrefs yourself.

    Returns:
        The paths of downloaded and skipped files, and the bytes received. For no items, nothing
        is written.

    Raises:
        AuthenticationError: The API refused the credential.
        CredentialsNotFoundError: No credential was found.
        DownloadError: A path would leave the folder or clash with another; the disk is full or
            not writable. An :class:`.IncompleteDownloadError` if some files failed and all
            others are complete.
        KeyboardInterrupt: Ctrl-C; the message says what is complete.
        SigningError: There are ``s3://`` hrefs and no credentials for them.
        TypeError: ``items`` does not hold items, or ``layout`` does not return a path.
        ValueError: An unknown asset or layout, or an argument out of range.

    Example:
        >>> import constellr_stac
        >>> constellr_stac.download(search, "scenes", assets=["lst"])  # doctest: +SKIP
        <Downloaded 15 files, 1.4 MB, in 0.4 s to 'scenes'>
    """
    if max_workers < 1:
        raise ValueError(f"max_workers must be at least 1, not {max_workers}.")
    if verify not in (True, False, "structure"):
        raise ValueError(f'verify must be True, False or "structure", not {verify!r}.')
    folder = Path(path).expanduser()
    selection = select_files(items, assets, layout, local_files=local_files)
    if not selection.items:
        return Downloaded(folder)
    resolver = AssetResolver(auth, signer, limits)
    for selected in selection.items:
        resolver.remember(selected.item)
    # Fails before anything is written if an href cannot be signed.
    resolver.signer.sign_hrefs([file.reference.href for file in selection.files])
    try:
        with open_manifest(folder, layout if isinstance(layout, str) else "callable") as manifest:
            return Run(
                selection,
                folder,
                manifest,
                Transfer(resolver, max_workers),
                display_for(len(selection.files), show=progress),
                overwrite=overwrite,
                verify=verify,
                workers=max_workers,
            )()
    except OSError as error:
        raise disk_error(error, Path(error.filename or folder)) from error
