"""What every answer tells the browser about how far to trust it."""

from collections.abc import Mapping

#: Nothing inline, nothing from elsewhere, nobody frames us.
#: Source: W3C, "Content Security Policy Level 3".
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
#: What was uploaded is never a document of ours, whatever it says it is.
CONTENT_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"
HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: under it a browser sends our own forms with `Origin: null`
    # (Fetch, "append a request Origin header"), which we refuse. Other sites still get none.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


def headers(bucket_url: str | None) -> Mapping[str, str]:
    """HEADERS, for a page that may also send uploads to the bucket, and nothing to any other."""
    if bucket_url is None:
        return HEADERS
    policy = PAGE_POLICY.replace("connect-src 'self'", f"connect-src 'self' {bucket_url}")
    return {**HEADERS, "Content-Security-Policy": policy}
