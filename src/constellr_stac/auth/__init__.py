"""Credentials, tokens and authenticated requests.

:mod:`.credentials` finds a credential, :mod:`.token` exchanges a password for a token and renews
it, :mod:`.requests_auth` adds it to requests, and :mod:`.session` holds timeouts, retries and the
mapping of HTTP failures to our errors.
"""
