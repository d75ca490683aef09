"""Pre-signed URLs for ``s3://`` hrefs.

:mod:`.signer` is the public interface, :mod:`.presign` computes signatures, :mod:`.s3_url` parses
and builds URLs, :mod:`.aws` finds and renews AWS credentials, and :mod:`.traverse` finds the hrefs
in a STAC object.
"""
