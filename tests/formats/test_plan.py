import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import duckdb
import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.errors import ImageError, InputError
from curation.formats import images, plan
from curation.formats.listing import Entry


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (5, 4), (shade, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures in two folders, and files that are none."""
    root = tmp_path / "photos"
    (root / "b" / ".trash").mkdir(parents=True)
    (root / "c.png").write_bytes(png(1))
    (root / "b" / "x.JPG").write_bytes(png(2))
    (root / "a ä.png").write_bytes(png(3))
    (root / "._c.png").write_bytes(b"macOS")
    (root / "b" / ".trash" / "gone.png").write_bytes(png(4))
    (root / "notes.txt").write_text("c.png\n")
    return root


def make_tar(path: Path, members: list[tuple[str, bytes]], **options: object) -> Path:
    with tarfile.open(path, "w", **options) as tar:
        for name, data in members:
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return path


def items(source: object, tmp_path: Path) -> list[plan.Item]:
    found = images.plan_images(str(source), tmp_path / "plan.parquet")
    return found.items(0, found.n_items)


def test_a_folder_is_searched_through_and_sorted(folder, tmp_path):
    found = items(folder, tmp_path)
    assert [item.uri for item in found] == [f"{folder}/a ä.png", f"{folder}/b/x.JPG", f"{folder}/c.png"]
    assert [item.number for item in found] == [0, 1, 2]
    assert [item.file_name for item in found] == ["a ä.png", "x.JPG", "c.png"]
    assert all(item.size_bytes == os.path.getsize(item.uri) for item in found)
    assert images.read_image(found[2]).pixels[0, 0, 0] == 1


def test_linked_folders_are_followed_and_loops_are_not(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "d.png").write_bytes(png(5))
    (folder / "linked").symlink_to(other)
    (folder / "b" / "up").symlink_to(folder)
    assert f"{folder}/linked/d.png" in [item.uri for item in items(folder, tmp_path)]
    assert len(items(folder, tmp_path)) == 4


def test_one_picture_a_glob_and_a_relative_folder(folder, tmp_path, monkeypatch):
    assert [item.uri for item in items(folder / "c.png", tmp_path)] == [f"{folder}/c.png"]
    assert [item.file_name for item in items(f"{folder}/*.png", tmp_path)] == ["a ä.png", "c.png"]
    assert len(items(f"{folder}/**/*", tmp_path)) == 3
    monkeypatch.chdir(folder)
    assert [item.uri for item in items("b", tmp_path)] == [f"{folder}/b/x.JPG"]


def test_a_text_list_keeps_missing_files_and_starts_relative_paths_at_itself(folder, tmp_path):
    listing = folder / "list.txt"
    listing.write_text("\ufeffc.png\n\n  b/x.JPG \r\ngone.png\nhttp://example.org/a.png\n", encoding="utf-8")
    found = {item.file_name: item for item in items(listing, tmp_path)}
    assert set(found) == {"c.png", "x.JPG", "gone.png", "a.png"}
    assert found["x.JPG"].uri == f"{folder}/b/x.JPG"
    assert found["gone.png"].size_bytes is None
    with pytest.raises(ImageError, match=r"gone\.png cannot be read"):
        images.read_image(found["gone.png"])
    with pytest.raises(ImageError, match="only s3:// and local paths"):
        images.read_image(found["a.png"])


def test_a_parquet_list_is_read_by_uri_or_its_first_strings(folder, tmp_path):
    names = [f"{folder}/c.png", f"{folder}/b/x.JPG"]
    listing = tmp_path / "list.parquet"
    for columns in ({"n": [1, 2], "path": names, "other": ["x", "y"]}, {"other": ["x", "y"], "uri": names}):
        pq.write_table(pa.table(columns), listing)
        assert sorted(item.uri for item in items(listing, tmp_path)) == sorted(names)
    pq.write_table(pa.table({"n": [1]}), listing)
    with pytest.raises(InputError, match="no column of strings"):
        items(listing, tmp_path)
    listing.write_bytes(b"PAR1 not")
    with pytest.raises(InputError, match="no Parquet file"):
        items(listing, tmp_path)


def test_a_tar_is_read_at_its_members_places(tmp_path):
    tar = make_tar(
        tmp_path / "a.tar",
        [("./z.png", png(1)), ("d/" + "long" * 40 + ".png", png(2)), ("d/._z.png", b""), ("d/n.txt", b"x")],
    )
    found = items(tar, tmp_path)
    assert [item.uri for item in found] == [f"{tar}!d/{'long' * 40}.png", f"{tar}!z.png"]
    assert found[1].file_name == "z.png"
    assert images.read_image(found[1]).pixels[0, 0, 0] == 1
    assert images.read_image(found[0].uri).pixels[0, 0, 0] == 2
    assert images.read_image(found[0].uri).image_id == images.read_image(found[0]).image_id
    with pytest.raises(ImageError, match=r"no member 'nope\.png'"):
        images.read_image(f"{tar}!nope.png")


def test_of_two_entries_with_one_uri_the_last_counts(tmp_path):
    tar = make_tar(tmp_path / "a.tar", [("a.png", png(1)), ("b.png", png(2)), ("a.png", png(3))])
    found = images.plan_images(str(tar), tmp_path / "plan.parquet")
    assert (found.n_items, found.n_repeated) == (2, 1)
    assert images.read_image(found.items(0, 1)[0]).pixels[0, 0, 0] == 3
    assert images.read_image(f"{tar}!a.png").pixels[0, 0, 0] == 3


def test_links_and_escapes_in_a_tar_are_faults_and_not_absences(tmp_path):
    tar = make_tar(
        tmp_path / "a.tar", [("../../up.png", png(1)), ("/etc/abs.png", png(2)), ("ok.png", png(3))]
    )
    with tarfile.open(tar, "a") as file:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(link)
    faults = {item.file_name: item.fault for item in items(tar, tmp_path)}
    assert faults["ok.png"] is None
    assert "leaves the archive's own folder" in faults["up.png"]
    assert "leaves the archive's own folder" in faults["abs.png"]
    assert "only plain files" in faults["link.png"]


def test_a_damaged_or_cut_tar_says_where(tmp_path):
    tar = make_tar(tmp_path / "a.tar", [(f"{k}.png", png(k)) for k in range(4)])
    data = bytearray(tar.read_bytes())
    tar.write_bytes(data[: 512 * 2 + 512 * 2 + 520])  # inside the third member's bytes
    assert [item.fault is None for item in items(tar, tmp_path)] == [False, True, True, False]
    with tarfile.open(fileobj=io.BytesIO(data)) as file:
        third = file.getmembers()[2].offset
    data[third : third + 512] = b"x" * 512
    tar.write_bytes(data)
    found = items(tar, tmp_path)
    assert f"damaged at byte {third}" in found[0].fault
    assert [item.file_name for item in found[1:]] == ["0.png", "1.png"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone", "does not exist"),
        ("a.tar.gz", "compressed archive"),
        ("a.csv", "are not read"),
        ("empty", "holds no pictures"),
        ("gs://bucket/x", "only s3:// and local paths"),
    ],
)
def test_sources_that_are_none_are_refused(tmp_path, name, reason):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.tar.gz").write_bytes(b"")
    (tmp_path / "a.csv").write_text("x")
    source = name if "://" in name else tmp_path / name
    with pytest.raises(InputError, match=reason):
        items(source, tmp_path)


def test_names_that_are_not_utf8_are_faults(folder, tmp_path):
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff.png")).write_bytes(png(1))
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    faulty = [item for item in items(folder, tmp_path) if item.fault]
    assert [item.file_name for item in faulty] == ["bad\\xff.png"]
    with pytest.raises(ImageError, match="not UTF-8"):
        images.read_image(faulty[0])


def test_the_hash_tells_one_set_of_files_from_another(folder, tmp_path):
    def sha256(source: Path) -> str:
        return images.plan_images(str(source), tmp_path / "plan.parquet").sha256

    before = sha256(folder)
    assert sha256(folder) == before
    twin = tmp_path / "twin"
    shutil.copytree(folder, twin)
    assert sha256(twin) != before
    (folder / "c.png").write_bytes(png(1) + b"x")
    assert sha256(folder) != before


def test_s3_prefixes_globs_and_objects(s3_server, tmp_path):
    import boto3

    client = boto3.client("s3", endpoint_url=s3_server)
    client.create_bucket(Bucket="photos")
    for k in range(1005):  # more than one page of a listing
        client.put_object(Bucket="photos", Key=f"many/{k:04d}.png", Body=b"x")
    for key in ("set/a.png", "set/deep/b.png", "set/n.txt", "set2/c.png"):
        client.put_object(Bucket="photos", Key=key, Body=png(9))

    assert len(items("s3://photos/many", tmp_path)) == 1005
    found = items("s3://photos/set", tmp_path)
    assert [item.uri for item in found] == ["s3://photos/set/a.png", "s3://photos/set/deep/b.png"]
    assert images.read_image(found[0]).pixels[0, 0, 0] == 9
    assert [item.file_name for item in items("s3://photos/set*/*.png", tmp_path)] == ["a.png", "c.png"]
    assert [item.file_name for item in items("s3://photos/set/deep/b.png", tmp_path)] == ["b.png"]
    with pytest.raises(ImageError, match="missing or may not be read"):
        images.read_image("s3://photos/set/gone.png")
    with pytest.raises(InputError, match="no bucket"):
        items("s3://no-such-bucket/x", tmp_path)


def test_items_come_from_any_place_of_a_plan_of_many_groups(tmp_path):
    n = 2 * plan.BATCH_ROWS + 17
    order = np.random.default_rng(0).permutation(n).tolist()
    entries = (Entry(f"/p/{k:07d}.png", k) for k in [*order, 5, 5])
    made = plan.write_plan(entries, tmp_path / "plan.parquet")
    assert (made.n_items, made.n_repeated) == (n, 2)
    for first, stop in [(0, 3), (plan.BATCH_ROWS - 2, plan.BATCH_ROWS + 2), (n - 2, n + 5), (4, 4)]:
        found = made.items(first, stop)
        assert [item.size_bytes for item in found] == list(range(first, min(stop, n)))
        assert [item.number for item in found] == list(range(first, min(stop, n)))
    assert duckdb.sql(f"SELECT count(DISTINCT uri) FROM '{made.path}'").fetchone() == (n,)
    assert plan.write_plan(iter(()), tmp_path / "plan.parquet").n_items == 0


MEMORY_PROBE = """
import resource, sys
from pathlib import Path
from curation.formats import plan
from curation.formats.listing import Entry
folder = "/a/rather/long/folder/name/as/real/ones/are"
n = int(sys.argv[1])
entries = (Entry(f"{folder}/{(k * 7919) % n:09d}.jpg", k) for k in range(n))
plan.write_plan(entries, Path(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_number_of_entries(tmp_path, monkeypatch):
    def peak_mb(n: int) -> float:
        done = subprocess.run(
            [sys.executable, "-c", MEMORY_PROBE, str(n), str(tmp_path / "plan.parquet")],
            capture_output=True,
            check=True,
        )
        return int(done.stdout) / 1024

    small, large = peak_mb(20_000), peak_mb(400_000)
    assert large < small + 200  # 400,000 entries held as objects take about 300 MB more
