"""Scenes: the same seed draws the same picture everywhere, and the gold is exact."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curation import masks
from curation.errors import InputError
from curation.generation.scenes import MIN_VISIBLE_PX, THEMES, render, sa1b_record, write_scenes
from curation.generation.scenes.outlines import box, ellipse, ring
from curation.generation.scenes.raster import blur, coverage

SIZE = (200, 150)


def fingerprint(seed: int, index: int) -> str:
    scene = render(seed, index, SIZE)
    return hashlib.sha256(scene.jpeg() + json.dumps(sa1b_record(scene, "sa_1")).encode()).hexdigest()


def test_a_seed_draws_the_same_in_another_process():
    code = (
        "from tests.generation.test_scenes import fingerprint; print([fingerprint(5, i) for i in range(7)])"
    )
    root = Path(__file__).parents[2]
    other = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    assert other.strip() == str([fingerprint(5, i) for i in range(7)])


def test_seeds_and_indices_differ():
    prints = {fingerprint(seed, index) for seed in (1, 2) for index in (0, 7, 14)}
    assert len(prints) == 6


@pytest.fixture(scope="module", params=list(THEMES))
def scene(request):
    return render(3, 1, SIZE, theme=request.param)


def test_wholes_share_no_pixel_and_fill_the_frame(scene):
    shown = masks.decode(scene.wholes).sum(axis=0)
    assert shown.max() == 1
    assert (shown == 0).sum() < MIN_VISIBLE_PX * 10  # only slivers are left out


def test_parts_lie_inside_their_wholes(scene):
    assert len(scene.part_of) == len(scene.parts) == len(scene.part_names)
    wholes, parts = masks.decode(scene.wholes), masks.decode(scene.parts)
    for part, whole in zip(parts, scene.part_of, strict=True):
        assert not (part & ~wholes[whole]).any()
        assert part.sum() < wholes[whole].sum()


def test_every_mask_is_visible(scene):
    for runs in (scene.wholes, scene.parts):
        assert (masks.areas(runs) >= MIN_VISIBLE_PX).all()
        assert (runs.height, runs.width) == scene.pixels.shape[:2] == SIZE[::-1]


def test_no_mask_is_there_twice(scene):
    strings = masks.to_strings(scene.wholes) + masks.to_strings(scene.parts)
    assert len(set(strings)) == len(strings)


def test_a_mask_holds_the_pixels_of_its_thing():
    """The cut of a thing against its background is a jump in colour, not an edge a pixel off."""
    scene = render(2, 4, (320, 240), theme="space")
    moon = int(np.argmax([name == "planet" for name in scene.whole_names]))
    shown = masks.decode(scene.wholes)[moon].astype(np.float32)
    edge = np.abs(np.diff(shown, axis=1)) > 0
    jump = np.abs(np.diff(scene.pixels.astype(np.float32).mean(axis=2), axis=1))
    beside = np.roll(edge, 4, axis=1)
    assert jump[edge].mean() > 3 * jump[beside].mean()


def test_sizes_range_from_tiny_to_most_of_the_picture():
    shares = np.concatenate(
        [
            np.concatenate([masks.areas(s.wholes), masks.areas(s.parts)]) / (640 * 480)
            for s in (render(1, i) for i in range(3))
        ]
    )
    assert shares.min() < 2e-4
    assert shares.max() > 0.1


@pytest.mark.parametrize(
    ("seed", "index", "size", "theme"),
    [
        (-1, 0, SIZE, None),
        (1, -1, SIZE, None),
        (1, 1, (31, 100), None),
        (1, 1, (100, 9000), None),
        (1, 1, SIZE, "opera"),
    ],
)
def test_refuses(seed, index, size, theme):
    with pytest.raises(InputError, match="scene: "):
        render(seed, index, size, theme)


def test_writes_sa1b_files(tmp_path):
    assert write_scenes(tmp_path, 2, seed=4, size=SIZE) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sa_1.jpg", "sa_1.json", "sa_2.jpg", "sa_2.json"]
    record = json.loads((tmp_path / "sa_1.json").read_text())
    assert record["image"] == {"image_id": 1, "width": 200, "height": 150, "file_name": "sa_1.jpg"}
    assert Image.open(tmp_path / "sa_1.jpg").size == SIZE
    assert {a["nesting"] for a in record["annotations"]} == {"whole", "part"}
    for a in record["annotations"]:
        runs = masks.parse(a["segmentation"])
        x, y, w, h = masks.boxes(runs)[0]
        assert a["bbox"] == [x, y, w - 1, h - 1]
        assert a["area"] == masks.areas(runs)[0]
        px, py = (int(v) for v in a["point_coords"][0])
        assert masks.decode(runs)[0, py, px]


@pytest.mark.parametrize("n", [0, 1])
def test_few_scenes(tmp_path, n):
    assert write_scenes(tmp_path / "new" / "folder", n, seed=1, size=SIZE) == n
    assert len(list((tmp_path / "new" / "folder").iterdir())) == 2 * n


def test_goes_on_where_it_stopped(tmp_path):
    write_scenes(tmp_path / "once", 3, seed=9, size=SIZE)
    write_scenes(tmp_path / "twice", 1, seed=9, size=SIZE)
    (tmp_path / "twice" / "sa_2.jpg").write_bytes(b"half")  # killed before its JSON
    assert write_scenes(tmp_path / "twice", 3, seed=9, size=SIZE) == 2
    for path in (tmp_path / "once").iterdir():
        assert path.read_bytes() == (tmp_path / "twice" / path.name).read_bytes()


def test_never_mixes_seeds(tmp_path):
    write_scenes(tmp_path, 1, seed=9, size=SIZE)
    with pytest.raises(InputError, match=r"sa_1\.json: holds .*'seed': 9"):
        write_scenes(tmp_path, 1, seed=10, size=SIZE)


class TestCoverage:
    def test_of_a_box_is_its_exact_area(self):
        covered, (rows, columns) = coverage(box(1.25, 2.5, 3.0, 2.0), 10, 10)
        assert (rows, columns) == (slice(2, 5), slice(1, 5))
        assert covered.tolist() == [
            [0.375, 0.5, 0.5, 0.125],
            [0.75, 1.0, 1.0, 0.25],
            [0.375, 0.5, 0.5, 0.125],
        ]

    def test_of_a_disk_sums_to_its_area(self):
        covered, _ = coverage(ellipse(50.3, 40.7, 30), 100, 100)
        assert covered.sum() == pytest.approx(np.pi * 900, rel=2e-3)

    def test_of_a_ring_leaves_its_hole(self):
        covered, _ = coverage(ring(50, 50, 40, 20), 100, 100)
        assert covered[40, 40] == 0
        assert covered.sum() == pytest.approx(np.pi * 1200, rel=4e-3)

    def test_is_cut_at_the_frame(self):
        covered, window = coverage(box(-5, -5, 8, 8), 10, 10)
        assert window == (slice(0, 3), slice(0, 3))
        assert (covered == 1).all()

    def test_outside_the_frame_is_none(self):
        assert coverage(box(20, 0, 5, 5), 10, 10) is None


def test_blur_keeps_the_mean_and_has_the_asked_spread():
    spot = np.zeros((101, 101), np.float32)
    spot[50, 50] = 1
    soft = blur(spot, 4.0)
    assert soft.sum() == pytest.approx(1, abs=1e-5)
    spread = np.sqrt((soft.sum(axis=0) * (np.arange(101) - 50) ** 2).sum())
    assert spread == pytest.approx(4.0, abs=0.5)
    assert blur(spot, 0.1) is spot
