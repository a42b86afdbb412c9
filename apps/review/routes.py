"""What the component asks over HTTP. Every answer needs a token; work on the lake and on pictures is done in threads."""

import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache, wraps
from pathlib import Path
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from apps.review import access, data, judging, login, pictures
from curation import events
from curation.errors import CurationError, ImageError, InputError
from curation.lake import Lake

COMPONENT = Path(__file__).with_name("component")
MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css"}
FOREVER = "private, max-age=31536000, immutable"
A_DAY = "private, max-age=86400, immutable"

#: Larger bodies are not read: 500 verdicts with the longest notes.
MOST_BODY_BYTES = 4 << 20

Handler = Callable[[Request, access.Person], Awaitable[Response]]


def for_view(view: str) -> Callable[[Handler], Callable[[Request], Awaitable[Response]]]:
    """Let a handler answer only people whose role opens `view`, and only pages of this server.

    401 without a token that holds, 403 for a page elsewhere or a role that may not, 400 for what cannot be used.
    Where people log in, the role is what the workspace says now, whatever it was when the page was opened.
    """

    def guard(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        @wraps(handler)
        async def answer(request: Request) -> Response:
            origin = request.headers.get("origin")
            if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
                return _refusal(403, f"pages of {origin} may not ask here")
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            try:
                person = login.as_of_now(
                    access.check(token if scheme.lower() == "bearer" else "", data.secret())
                )
            except access.AccessError as error:
                return _refusal(401, str(error))
            if not person.may_open(view):
                return _refusal(
                    403, f"{person.rater}: your role does not open {view}; ask the workspace's curator"
                )
            try:
                return await handler(request, person)
            except ImageError as error:
                return _refusal(404, str(error))
            except InputError as error:
                return _refusal(400, str(error))
            except CurationError as error:
                # the lake is busy or away: the browser keeps what it has and asks again
                events.record("request_failed", logging.WARNING, path=request.url.path, error=error)
                return _refusal(503, str(error))

        return answer

    return guard


async def component_file(request: Request) -> Response:
    """A file of the component. Its address holds the version, so a browser never mixes two versions."""
    path = COMPONENT / request.path_params["name"]
    if path.parent != COMPONENT or path.suffix not in MEDIA_TYPES or not path.is_file():
        return _refusal(404, "no such file")
    is_current = request.path_params["version"] == component_version()
    headers = {"Cache-Control": FOREVER if is_current else "no-store"}
    return Response(path.read_bytes(), media_type=MEDIA_TYPES[path.suffix], headers=headers)


@for_view("review")
async def picture(request: Request, _: access.Person) -> Response:
    """One picture by its image_id: upright, in its original size."""
    body, media_type = await run_in_threadpool(_picture, request.path_params["image_id"])
    headers = {"Cache-Control": A_DAY, "X-Content-Type-Options": "nosniff"}
    return Response(body, media_type=media_type, headers=headers)


def _picture(image_id: int) -> tuple[bytes, str]:
    uri = data.picture_uri(image_id)
    if uri is None:
        raise ImageError(f"image {image_id} is in no run of this workspace")
    return pictures.for_browser(uri)


@for_view("review")
async def tasks(request: Request, person: access.Person) -> Response:
    """The next tasks of the rater: {sample, n, starts, adjudicates}."""
    wish = judging.wish(await body_of(request))

    def find(lake: Lake) -> dict[str, object]:
        found = judging.tasks(lake, person, wish)
        data.find_pictures(lake, (int(task["image"]) for task in found["tasks"]))
        return found

    return answer(await in_lake(find))


@for_view("review")
async def progress(request: Request, person: access.Person) -> Response:
    """How far {sample} is, and the rater in it."""
    sample = judging.sample_of(await body_of(request))
    return answer(await in_lake(judging.progress, person, sample, data.rules().enough_half_width))


@for_view("review")
async def verdicts(request: Request, person: access.Person) -> Response:
    """Verdicts to write: {verdicts: […]}. The answer names what is committed."""
    return answer(await in_lake(judging.give, person, await body_of(request)))


@for_view("review")
async def leases(request: Request, person: access.Person) -> Response:
    """Let the rater's leases of {sample} run anew."""
    return answer(await in_lake(judging.renew, person, judging.sample_of(await body_of(request))))


@for_view("review")
async def release(request: Request, person: access.Person) -> Response:
    """Give the rater's leases of {sample} back."""
    return answer(await in_lake(judging.release, person, judging.sample_of(await body_of(request))))


async def in_lake(work: Callable[..., dict], *arguments: object) -> dict:
    """Call `work(lake, …)` in a thread, with a connection of its own: the event loop never waits for a commit."""

    def call() -> dict:
        with data.lake(is_quick=True) as lake:
            return work(lake, *arguments)

    return await run_in_threadpool(call)


async def body_of(request: Request) -> Mapping[str, object]:
    """The JSON object of a request. Raises InputError."""
    chunks = bytearray()
    async for chunk in request.stream():
        chunks += chunk
        if len(chunks) > MOST_BODY_BYTES:
            raise InputError(f"the request is over {MOST_BODY_BYTES >> 20} MiB: send fewer at once")
    try:
        body = json.loads(bytes(chunks))
    except ValueError as error:
        raise InputError(f"the request is no JSON ({error})") from error
    if not isinstance(body, dict):
        raise InputError("the request is no JSON object")
    return body


def answer(content: dict) -> JSONResponse:
    return JSONResponse(content, headers={"Cache-Control": "no-store"})


@lru_cache(maxsize=1)
def component_version() -> str:
    """A short hash over the component's files."""
    digest = hashlib.sha256()
    for path in sorted(COMPONENT.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _refusal(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"error": reason}, status, headers={"Cache-Control": "no-store"})


ROUTES = [
    Route("/review/component/{version}/{name}", component_file),
    Route("/review/pictures/{image_id:int}", picture),
    Route("/review/tasks", tasks, methods=["POST"]),
    Route("/review/progress", progress, methods=["POST"]),
    Route("/review/verdicts", verdicts, methods=["POST"]),
    Route("/review/leases", leases, methods=["POST"]),
    Route("/review/release", release, methods=["POST"]),
]
