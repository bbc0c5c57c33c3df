"""A small web site for tests of the browser: real pages of a real HTTP server. ``python -m tests.site`` serves it."""

from tests.site.server import EMAIL, PASSWORD, TOTP_SECRET, Site, running_site

__all__ = ["EMAIL", "PASSWORD", "TOTP_SECRET", "Site", "running_site"]
