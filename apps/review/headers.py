"""Headers that every answer of the server has, Streamlit's own included."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: What browsers are told. Scripts and styles are not restricted: Streamlit makes some of them in the page.
HEADERS = {
    # a picture or a note is never read as a page
    "X-Content-Type-Options": "nosniff",
    # addresses hold names of samples and numbers of masks
    "Referrer-Policy": "same-origin",
    # no page elsewhere may lay the app under its own, and let people press keys in it
    "Content-Security-Policy": "frame-ancestors 'self'; base-uri 'self'; object-src 'none'",
    "X-Frame-Options": "SAMEORIGIN",
}


class Headers:
    """ASGI middleware that adds HEADERS, but for those that an answer has already."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)
