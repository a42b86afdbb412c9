import hashlib
import shutil

import duckdb
import pyarrow.parquet as pq
import pytest
from lakes import NumberedMasks, image_row, spec

from curation import runs, shards, views
from curation.catalogs import CATALOG
from curation.errors import ContractError, InputError, LakeBusyError, LakeError
from curation.lake import Lake, add_files, insert
from curation.schemas import TABLES


def embeddings(n: int, run_id: int = 1):
    rows = [{"run_id": run_id, "mask_id": i, "n_dims": 1, "embedding": b"ab"} for i in range(n)]
    return TABLES["mask_embeddings"].table(rows)


def count(lake: Lake, table: str) -> int:
    return lake.query(f'SELECT count(*) AS n FROM "{table}"')["n"][0].as_py()


def test_a_new_lake_has_every_declared_table_empty_with_its_comments(lake):
    for name in TABLES:
        assert count(lake, name) == 0
    comments = lake.query("SELECT comment FROM duckdb_columns() WHERE table_name = 'masks'")[
        "comment"
    ].to_pylist()
    assert all(comments)


def test_making_a_workspace_twice_opens_it_and_other_places_are_refused(tmp_path):
    Lake.create(tmp_path / "w").close()
    Lake.create(tmp_path / "w").close()
    with pytest.raises(LakeError, match="choose another folder"):
        Lake.create(tmp_path / "w", data="elsewhere")


def test_what_is_no_workspace_says_how_to_make_one(tmp_path):
    with pytest.raises(LakeError, match="curation init"):
        Lake.open(tmp_path)


def test_a_catalog_url_of_another_kind_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(InputError, match="sqlite:PATH or postgres"):
        Lake.create(tmp_path / "w", catalog="mysql://x")
    assert not (tmp_path / "w").exists()


def test_several_tables_are_committed_together_or_not_at_all(lake):
    def half(con):
        insert(con, {"mask_embeddings": embeddings(2)})
        raise RuntimeError("the power goes")

    with pytest.raises(RuntimeError):
        lake.commit(half, "half")
    assert count(lake, "mask_embeddings") == 0
    lake.append({"mask_embeddings": embeddings(2)}, "whole")
    assert count(lake, "mask_embeddings") == 2


def test_rows_that_break_their_contract_are_not_written(lake):
    with pytest.raises(ContractError):
        lake.append({"mask_embeddings": embeddings(2).drop_columns("n_dims")}, "bad")
    assert count(lake, "mask_embeddings") == 0


def test_data_files_are_plain_parquet_that_any_engine_reads(lake):
    data_file = lake.storage.write("mask_embeddings", embeddings(3), 1, "0000000000")
    lake.commit(lambda con: add_files(con, [data_file]), "files")
    assert count(lake, "mask_embeddings") == 3
    assert pq.ParquetFile(data_file.path).read().num_rows == 3
    assert duckdb.read_parquet(data_file.path).fetchall()[0][:2] == (1, 0)


def test_a_tag_shows_the_lake_as_it_was(lake):
    lake.append({"mask_embeddings": embeddings(1)}, "first")
    version = lake.tag("first")
    lake.append({"mask_embeddings": embeddings(1, run_id=2)}, "second")
    for at in ("first", version, str(version)):
        with Lake.open(lake.root, at=at) as past:
            assert count(past, "mask_embeddings") == 1
            assert count(past, "current_masks") == 0
    assert count(lake, "mask_embeddings") == 2


def test_tags_are_listed_beside_their_snapshot_and_cannot_move(lake):
    version = lake.tag("gold-2026.1")
    rows = {row["snapshot_id"]: row["tags"] for row in lake.snapshots().to_pylist()}
    assert rows[version] == "gold-2026.1"
    with pytest.raises(InputError, match="already names"):
        lake.tag("gold-2026.1")
    with pytest.raises(InputError, match="start with a letter"):
        lake.tag("7")
    with pytest.raises(LakeError, match="no tag or version 'never'"):
        Lake.open(lake.root, at="never")


def test_a_lake_opened_for_reading_cannot_be_changed(lake):
    lake.tag("now")
    for reader in (Lake.open(lake.root, read_only=True), Lake.open(lake.root, at="now")):
        with reader, pytest.raises(LakeError, match="reading only"):
            reader.append({"mask_embeddings": embeddings(1)}, "no")
    with Lake.open(lake.root, read_only=True) as reader, pytest.raises(duckdb.Error, match="read-only"):
        reader.query("DELETE FROM tags")


def test_a_workspace_that_was_moved_finds_its_files(tmp_path):
    with Lake.create(tmp_path / "old") as lake:
        data_file = lake.storage.write("mask_embeddings", embeddings(3), 1, "0000000000")
        lake.commit(lambda con: add_files(con, [data_file]), "files")
    shutil.move(tmp_path / "old", tmp_path / "new")
    with Lake.open(tmp_path / "new", read_only=True) as lake:
        assert count(lake, "mask_embeddings") == 3


def test_a_lake_made_before_a_table_and_a_column_existed_gets_them(lake):
    lake.commit(lambda con: con.execute("DROP TABLE tags; ALTER TABLE masks DROP COLUMN label"), "as of old")
    lake.close()
    with Lake.open(lake.root) as newer:
        assert count(newer, "tags") == 0
        assert newer.query("SELECT label FROM masks").num_rows == 0


def test_a_lake_with_older_views_gets_them_anew_and_a_newer_one_keeps_its_own(lake):
    another = "CREATE OR REPLACE VIEW current_images AS SELECT 1 AS image_id"
    lake.con.execute(another)
    with Lake.open(lake.root, read_only=True) as again:
        assert count(again, "current_images") == 0
    lake.con.execute(another)
    lake.con.execute(f"COMMENT ON VIEW current_images IS 'curation views {views.VERSION + 1}'")
    with Lake.open(lake.root) as again:
        assert count(again, "current_images") == 1


def statistics(lake: Lake, of: str = "") -> list[tuple]:
    """What the catalog knows of the tables and of their columns."""
    return lake.con.execute(f"""
        SELECT table_name, record_count, column_id, contains_null, contains_nan, min_value, max_value, extra_stats
        FROM {CATALOG}.ducklake_table
        INNER JOIN {CATALOG}.ducklake_table_stats USING (table_id)
        LEFT JOIN {CATALOG}.ducklake_table_column_stats USING (table_id)
        {of}
        ORDER BY ALL
    """).fetchall()


def test_tables_without_rows_have_statistics_and_then_those_that_ducklake_gives(lake, tmp_path):
    shutil.copytree(lake.root, tmp_path / "bare")
    with Lake.open(tmp_path / "bare") as bare:
        assert {row[0] for row in statistics(bare)} == set(TABLES)
        for table in ("ducklake_table_column_stats", "ducklake_table_stats"):
            bare.con.execute(f"DELETE FROM {CATALOG}.{table}")
    with Lake.open(tmp_path / "bare") as bare:
        for one in (lake, bare):
            run_id = runs.start(one, spec()).run_id
            image = image_row(run_id, 0)
            one.append({"images": TABLES["images"].table([image])}, "few rows, in the catalog")
            several = [{**image, "image_id": number, "image_number": number} for number in range(1, 200)]
            one.append({"images": TABLES["images"].table(several)}, "many, in a file")
        written = "WHERE table_name = 'images'"
        assert statistics(lake, written) == statistics(bare, written)
        assert {row[0] for row in statistics(bare)} == {"images", "runs"}


def test_views_that_changed_have_a_new_version():
    digest = hashlib.sha256(
        "".join(f"{name} {sql}" for name, sql in views.VIEWS.items()).encode()
    ).hexdigest()
    assert (views.VERSION, digest[:12]) == (3, "0a9193f9afe6"), (
        "raise VERSION of curation/views.py, and change this pair"
    )


def test_the_past_of_an_older_lake_shows_what_it_lacked_as_empty(lake):
    runs.start(lake, spec())
    lake.con.execute("DROP VIEW current_images; DROP TABLE mask_nesting; ALTER TABLE runs DROP COLUMN device")
    lake.tag("old")
    with Lake.open(lake.root, read_only=True) as now:  # brought up to date, though for reading
        assert now.query("SELECT device FROM runs")["device"].to_pylist() == [None]
        assert now.query("SELECT * FROM current_images").num_rows == 0
    with Lake.open(lake.root, at="old") as then:
        assert then.query("SELECT * FROM mask_nesting").num_rows == 0
        assert then.query("SELECT run_id, device FROM runs").to_pylist() == [{"run_id": 1, "device": None}]
        assert then.query("SELECT run_id FROM current_images").num_rows == 0


def test_the_newest_run_of_a_cycle_stands_for_an_image(lake):
    """A retuning, or a second run over some of the images, takes the place of what was before."""
    first = runs.start(lake, spec()).run_id
    retuned = runs.start(lake, spec(kind="retune", parent_run_id=first)).run_id
    later = runs.start(lake, spec(cycle=1)).run_id
    gold = runs.start(lake, spec(kind="gold", stage=None, cycle=None)).run_id
    read = [
        image_row(first, 0),
        image_row(first, 1),
        image_row(retuned, 1),
        image_row(later, 0),
        image_row(gold, 0),
    ]
    lake.append({"images": TABLES["images"].table(read)}, "images")
    rows = lake.query("SELECT cycle, image_id, run_id FROM current_images").to_pylist()
    a, b = read[0]["image_id"], read[1]["image_id"]
    assert {(row["cycle"], row["image_id"]): row["run_id"] for row in rows} == {
        (0, a): first,
        (0, b): retuned,
        (1, a): later,
    }
    assert len(rows) == 3


def test_a_missing_catalog_is_an_error_not_an_empty_lake(lake):
    lake.close()
    (lake.root / "catalog.sqlite").unlink()
    with pytest.raises(LakeError, match="catalog is missing"):
        Lake.open(lake.root)


def test_a_writer_that_waits_too_long_names_who_holds_the_catalog(lake, monkeypatch):
    from dataclasses import replace

    from curation import locks

    monkeypatch.setattr(locks, "LAKE", replace(locks.LAKE, commit_patience_s=0.2))
    with (
        locks.writers_lock(lake.root, lake.catalog),
        pytest.raises(LakeBusyError, match="held for 0 s by process"),
    ):
        lake.append({"mask_embeddings": embeddings(1)}, "waits")
    lake.append({"mask_embeddings": embeddings(1)}, "free again")


def test_shards_are_done_once_and_resumed(lake):
    run = runs.start(lake, spec())
    plan = list(shards.plan(run.run_id, "import", 5, 2))
    first = shards.run(lake, NumberedMasks(), plan[:1])
    assert (first.n_shards, first.n_images, first.n_masks) == (1, 2, 6)
    again = shards.run(lake, NumberedMasks(), plan)
    assert (again.n_shards, again.n_skipped) == (2, 1)
    assert count(lake, "mask_embeddings") == 15
    ids = lake.query("SELECT count(DISTINCT mask_id) AS n FROM mask_embeddings")["n"][0].as_py()
    assert ids == 15


def test_worker_processes_give_the_same_files_byte_for_byte(tmp_path):
    contents = []
    for workers in (1, 2):
        with Lake.create(tmp_path / f"w{workers}") as lake:
            run = runs.start(lake, spec())
            shards.run(lake, NumberedMasks(), shards.plan(run.run_id, "import", 7, 2), workers=workers)
            files = sorted((lake.root / "data").rglob("import-*.parquet"))
            contents.append({str(path.relative_to(lake.root)): path.read_bytes() for path in files})
    assert len(contents[0]) == 8
    assert contents[0] == contents[1]


def test_a_run_is_found_again_by_what_determined_it(lake):
    first = runs.start(lake, spec())
    assert runs.start(lake, spec(source="named otherwise", device="cuda:0")).run_id == first.run_id
    other = runs.start(lake, spec(settings={"iou": 0.9}))
    assert (other.run_id, other.is_resumed) == (first.run_id + 1, False)
    runs.finish(lake, first.run_id)
    again = runs.start(lake, spec())
    assert (again.is_resumed, again.is_finished) == (True, True)


def test_no_images_make_no_shards(lake):
    assert list(shards.plan(1, "import", 0, 10)) == []
    assert shards.run(lake, NumberedMasks(), []).n_shards == 0


def test_an_s3_lake_keeps_its_data_in_the_bucket(tmp_path, s3_server):
    import boto3

    boto3.client("s3", endpoint_url=s3_server).create_bucket(Bucket="lake")
    with Lake.create(tmp_path / "w", data="s3://lake/masks") as lake:
        run = runs.start(lake, spec())
        shards.run(lake, NumberedMasks(), shards.plan(run.run_id, "import", 4, 2))
        assert count(lake, "mask_embeddings") == 12
    listed = boto3.client("s3", endpoint_url=s3_server).list_objects_v2(Bucket="lake", Prefix="masks/")
    assert any("/import-0000000002-" in item["Key"] for item in listed["Contents"])
    with Lake.open(tmp_path / "w", read_only=True) as lake:
        assert count(lake, "images") == 4
