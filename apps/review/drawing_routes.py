"""What the drawing pages ask over HTTP: masks to mend, clicks, drawn masks, all masks of an image."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from apps.review import access, drawing, prompts, routes
from curation import masks
from curation.errors import InputError
from curation.lake import Lake

Work = Callable[[Lake, access.Person, Mapping[str, object]], dict[str, object]]
MOST_CLICKS = 100


def of_lake(work: Work) -> Callable[[Request], Awaitable[Response]]:
    """A route that answers with what `work` finds in the lake, or writes to it, for people who may draw."""

    @routes.for_view("correct")
    async def answer(request: Request, person: access.Person) -> Response:
        return routes.answer(await routes.in_lake(work, person, await routes.body_of(request)))

    return answer


@routes.for_view("correct")
async def prepare(request: Request, person: access.Person) -> Response:
    """Encode {image} before its first click; answers when that is done, with the model's name."""
    image_id = drawing.number(await routes.body_of(request), "image")
    return routes.answer({"model": await run_in_threadpool(prompts.prepare, person.rater, image_id)})


@routes.for_view("correct")
async def click(request: Request, _: access.Person) -> Response:
    """The mask for clicks: {image, points: [[x, y, 1 or 0], …]}."""
    body = await routes.body_of(request)
    prompted = await run_in_threadpool(prompts.answer, drawing.number(body, "image"), points_of(body))
    return routes.answer(masks.to_coco(prompted.runs))


def points_of(body: Mapping[str, object]) -> list[list[float]]:
    """Clicks as they came. Raises InputError for what no clicks can be."""
    points = drawing.field(body, "points", list)
    are_clicks = all(
        isinstance(point, list) and len(point) == 3 and all(isinstance(v, int | float) for v in point)
        for point in points
    )
    if not are_clicks or not 1 <= len(points) <= MOST_CLICKS:
        raise InputError(f"points: write 1 to {MOST_CLICKS} clicks [x, y, 1 on the object or 0 beside it]")
    return points


ROUTES = [
    Route("/review/corrections", of_lake(drawing.corrections), methods=["POST"]),
    Route("/review/drawings", of_lake(drawing.save), methods=["POST"]),
    Route("/review/withdrawals", of_lake(drawing.withdraw), methods=["POST"]),
    Route("/review/image", of_lake(drawing.image), methods=["POST"]),
    Route("/review/uncovered", of_lake(drawing.uncovered), methods=["POST"]),
    Route("/review/uncovered_answers", of_lake(drawing.answer), methods=["POST"]),
    Route("/review/image_leases", of_lake(drawing.stay), methods=["POST"]),
    Route("/review/overlaps", of_lake(drawing.overlaps), methods=["POST"]),
    Route("/review/prepare", prepare, methods=["POST"]),
    Route("/review/clicks", click, methods=["POST"]),
]
