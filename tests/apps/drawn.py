"""A workspace to draw in: pictures of a disc and a square, with a bad mask of the disc and none of the square."""

import itertools
import json
import uuid
from pathlib import Path

import lakes
import numpy as np
import PIL.Image
import served

from curation import masks, runs
from curation.lake import Lake
from curation.review import queue, verdicts
from curation.schemas import TABLES

HEIGHT, WIDTH = 240, 320
DISC, RADIUS, HOLE = (100, 120), 50, 12  # (x, y), and radii in px
ISLAND = (20, 20, 8)  # x, y, side
SQUARE = (210, 90, 60)


def disc(x: float, y: float, radius: float) -> np.ndarray:
    """Pixels whose centre lies within `radius` of (x, y)."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def square(x: int, y: int, side: int) -> np.ndarray:
    pixels = np.zeros((HEIGHT, WIDTH), bool)
    pixels[y : y + side, x : x + side] = True
    return pixels


def flawed() -> np.ndarray:
    """The disc with a hole that is not there, and a stray island."""
    return (disc(*DISC, RADIUS) & ~disc(*DISC, HOLE)) | square(*ISLAND)


def make_pictures(root: Path, n_images: int) -> list[dict]:
    """A workspace with the flawed mask and a small disc where nothing is on each picture; rows of its masks."""
    grey = np.full((HEIGHT, WIDTH, 3), 50, np.uint8)
    grey[disc(*DISC, RADIUS)] = (230, 180, 60)
    grey[square(*SQUARE)] = (70, 120, 230)
    encoded = masks.encode(np.stack([flawed(), disc(180, 40, 15)]))
    with Lake.create(root) as lake:
        run = runs.start(lake, lakes.spec(n_images=n_images))
        images, rows = [], []
        for number in range(n_images):
            path = root / "pictures" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(grey).save(path)
            image = lakes.image_row(run.run_id, number, str(path), WIDTH, HEIGHT)
            images.append(image)
            rows += lakes.mask_rows(run.run_id, number, image, encoded, predicted_iou=0.91)
        tables = {"images": images, "masks": rows}
        lake.append({name: TABLES[name].table(some) for name, some in tables.items()}, "masks")
        runs.finish(lake, run.run_id)
    return rows


def make_workspace(root: Path, n_images: int = 4) -> Path:
    """The flawed masks are a sample, and reviewers want them mended."""
    flawed_rows = make_pictures(root, n_images)[::2]
    with Lake.open(root) as lake:
        drawn = served.sample_rows(flawed_rows, n_images)
        lake.append({"samples": TABLES["samples"].table(drawn)}, "a sample")
        tasks = queue.next_tasks(lake, "Ann", served.SAMPLE)
        fixes = [
            verdicts.Verdict(str(uuid.uuid4()), "Ann", "fix", t.task_id, reasons=["wrong_hole"])
            for t in tasks
        ]
        assert len(verdicts.give(lake, fixes).acknowledged) == n_images
    return root


class Drawer:
    """Somebody with a mouse and a keyboard at a page that draws."""

    def __init__(self, browser, url: str, name: str, **options: object) -> None:
        self.context = browser.new_context(viewport={"width": 1280, "height": 800}, **options)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.context.add_cookies([{"name": "curation_rater", "value": name, "url": url}])
        self.page.goto(url)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def wait(self, selector: str, patience_s: float = 200) -> None:
        try:
            self.page.wait_for_selector(selector, timeout=1000 * patience_s)
        except Exception as error:
            said = self.page.locator(".review").all_inner_texts()
            raise AssertionError(f"{selector} never came; the page says {said}, {self.errors}") from error

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def data(self, name: str) -> str:
        return self.page.locator(".draw").get_attribute(f"data-{name}")

    def see_pixels(self) -> None:
        """One pixel of the picture is one of the screen."""
        self.press("1")
        self.wait(""".stage[data-view*='"scale":1,']""")

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the picture lies in the window."""
        stage = self.page.locator(".stage")
        box, view = stage.bounding_box(), json.loads(stage.get_attribute("data-view"))
        return box["x"] + view["x"] + view["scale"] * x, box["y"] + view["y"] + view["scale"] * y

    def click(self, x: float, y: float, **options: object) -> None:
        self.page.mouse.click(*self.at(x, y), **options)

    def stroke(self, *points: tuple[float, float], button: str = "left") -> None:
        for number, point in enumerate(points):
            self.page.mouse.move(*self.at(*point))
            if number == 0:
                self.page.mouse.down(button=button)
        self.page.mouse.up(button=button)

    def done(self, n: int) -> None:
        """Wait until so many actions are done."""
        self.wait(f'.draw[data-done="{n}"]')

    def close(self) -> None:
        self.page.close(run_before_unload=False)
        self.context.close()
        assert self.errors == []


def swept(points: list[tuple[float, float]], diameter: float) -> np.ndarray:
    """Pixels whose centre lies within half the diameter of the way through `points`, by another way than the page's."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    found = np.zeros((HEIGHT, WIDTH), bool)
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        length = np.hypot(x1 - x0, y1 - y0)
        along = ((columns - x0) * (x1 - x0) + (rows - y0) * (y1 - y0)) / length
        aside = np.abs((columns - x0) * (y1 - y0) - (rows - y0) * (x1 - x0)) / length
        found |= (along >= 0) & (along <= length) & (aside <= diameter / 2)
    for x, y in points:
        found |= disc(x, y, diameter / 2)
    return found


def pixels_of(root: Path, mask_id: int) -> tuple[dict, np.ndarray]:
    """The row of a mask, and its pixels."""
    with Lake.open(root) as lake:
        (row,) = lake.query("FROM masks WHERE mask_id = ?", [mask_id]).to_pylist()
    strings = [row["rle_counts"]]
    return row, masks.decode(masks.parse_strings(strings, row["height_px"], row["width_px"]))[0]
