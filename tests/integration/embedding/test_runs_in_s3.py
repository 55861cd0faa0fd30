"""Export runs in S3: objects, states, copies and marks, on a double of S3."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.io import load_file_io
from support.embeddings import make_chip, make_request, write_export
from support.servers.aws import REGION, AwsServer

from embedding.aws import S3Place, upload_files
from embedding.model.card import Preprocessing
from embedding.model.weights import describe_model
from embedding.pipeline import run_load, run_transform
from embedding.runs.export import check_objects
from embedding.runs.files import LoadReport, Run
from embedding.runs.object_writer import objects_writer, opener_in, write_object
from embedding.runs.stores import FolderStore, S3Store, run_store
from lakehouse.catalog import open_catalog
from lakehouse.errors import ChiplakeError
from lakehouse.settings import Settings

BUCKET = "lake-of-tests"
BANDS = ("blue", "nir")
OLD, NEW = "20230815T095031Z-0a1b2c", "20230816T095031Z-0a1b2c"
CARD = describe_model(None, Preprocessing())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings().replace(
        home=tmp_path / "lake", transform_export_to="s3", transform_s3_uri=f"s3://{BUCKET}/transform/20230815/"
    )


@pytest.fixture
def s3(aws: AwsServer) -> Any:
    """Return a client of S3, which has an empty bucket."""
    client = aws.client("s3")
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    return client


@pytest.fixture
def store(s3: Any, settings: Settings) -> S3Store:
    found = run_store(settings)
    assert isinstance(found, S3Store)
    return found


def keys(s3: Any) -> list[str]:
    return sorted(one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET).get("Contents", []))


def put_run(s3: Any, run_id: str, folder: Path, *names: str) -> Run:
    """Put the files of a run of two objects into S3, or those of some names; return the run in a folder."""
    run = Run(folder / run_id)
    chips = [[make_chip(0, BANDS), make_chip(1, BANDS)], [make_chip(2, BANDS)]]
    write_export(run, chips, BANDS)
    for path in run.path.rglob("*"):
        name = path.relative_to(run.path).as_posix()
        if path.is_file() and (not names or name in names):
            s3.upload_file(str(path), BUCKET, f"transform/20230815/{run_id}/{name}")
    return run


def test_objects_are_the_same_as_in_a_folder(s3: Any, store: S3Store, settings: Settings, tmp_path: Path) -> None:
    rows = [make_chip(number, BANDS) for number in range(3)]
    file = tmp_path / "0.parquet"
    pq.write_table(pa.table({name: [row[name] for row in rows] for name in ("source_index", *BANDS)}), file)
    identity = ("chip_id", "input_hash", "acquired_at", "longitude", "latitude")
    plan = pa.table(
        {name: [row[name] for row in rows] for name in identity}
        | {"file": [f"file:{file}"] * 3, "position": [0, 1, 2], "object_index": [0, 0, 1]}
    )
    run = store.new()

    entries: dict[str, list[dict[str, Any]]] = {}
    for name, directory in (("s3", run.input_dir), ("folder", tmp_path / "objects")):
        batches = objects_writer(directory, BANDS, load_file_io())(plan.to_batches())
        entries[name] = [entry for batch in batches for entry in batch.to_pylist()]

    assert entries["s3"] == entries["folder"]
    names = ["chips-00000.arrow", "chips-00001.arrow"]
    assert keys(s3) == [f"transform/20230815/{run.run_id}/input/{name}" for name in names]
    for entry in entries["s3"]:
        body = s3.get_object(Bucket=BUCKET, Key=f"transform/20230815/{run.run_id}/input/{entry['name']}")["Body"].read()
        assert body == (tmp_path / "objects" / entry["name"]).read_bytes()
        assert hashlib.sha256(body).hexdigest() == entry["sha256"]
    # A transform job on SageMaker takes the objects from where they are.
    assert isinstance(run.input_dir, S3Place)
    assert upload_files(s3, sorted((tmp_path / "objects").iterdir()), run.input_dir, lambda: None) == 0


def test_an_object_that_fails_leaves_nothing(s3: Any, store: S3Store) -> None:
    good = make_request([make_chip(0, BANDS)], BANDS)
    open_file = opener_in(store.new().input_dir)

    def write_a_part() -> None:
        with open_file("chips-00000.arrow") as file:
            file.write(b"a part")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        write_a_part()
    assert keys(s3) == []
    write_object(open_file, "chips-00000.arrow", good)
    assert len(keys(s3)) == 1


def test_a_run_is_unfinished_from_its_manifest_to_its_mark(s3: Any, store: S3Store, tmp_path: Path) -> None:
    put_run(s3, NEW, tmp_path)
    put_run(s3, OLD, tmp_path)
    put_run(s3, "20230814T095031Z-0a1b2c", tmp_path, "input/chips-00000.arrow")  # an export that was killed
    s3.put_object(Bucket=BUCKET, Key="transform/20230815/notes/manifest.json", Body=b"{}")
    assert store.unfinished() == [OLD, NEW]
    store.mark_loaded(LoadReport(run_id=OLD, embedded=3, errors=0, unchanged=0, unanswered_objects=()))
    assert store.unfinished() == [NEW]


def test_a_bucket_of_its_own_needs_no_prefix(s3: Any, settings: Settings) -> None:
    store = run_store(settings.replace(transform_s3_uri=f"s3://{BUCKET}"))
    run = store.new()
    run.write_manifest(CARD, BANDS, [])
    assert keys(s3) == [f"{run.run_id}/manifest.json"]
    assert store.unfinished() == [run.run_id]
    assert store.open(run.run_id).manifest() == run.manifest()


def test_the_manifest_completes_an_export(s3: Any, store: S3Store) -> None:
    run = store.new()
    opener = opener_in(run.input_dir)
    entry = write_object(opener, "chips-00000.arrow", make_request([make_chip(0, BANDS)], BANDS))
    assert store.unfinished() == []
    with pytest.raises(
        ChiplakeError, match=r"1 of 2 objects .* are not in s3://lake-of-tests/.*: something has deleted"
    ):
        check_objects(run, [entry.name, "chips-00001.arrow"])
    check_objects(run, [entry.name])
    manifest = run.write_manifest(CARD, BANDS, [entry])
    assert store.unfinished() == [run.run_id]
    assert run.manifest() == manifest
    assert store.open(run.run_id).manifest() == manifest


def test_a_copy_of_a_run_has_its_objects_and_answers(
    s3: Any, store: S3Store, settings: Settings, tmp_path: Path
) -> None:
    original = put_run(s3, OLD, tmp_path)
    prefix = f"transform/20230815/{OLD}"
    s3.put_object(Bucket=BUCKET, Key=f"{prefix}/output/embed/chips-00000.arrow.out", Body=b"answer")
    s3.put_object(Bucket=BUCKET, Key=f"{prefix}/jobs/job.manifest", Body=b"[]")
    run = store.open(OLD)
    assert run.path == settings.lake.transform_dir / OLD
    files = {path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()}
    objects = {"input/chips-00000.arrow", "input/chips-00001.arrow"}
    assert files == {"manifest.json", "output/chips-00000.arrow.out", *objects}
    for name in objects:
        assert (run.path / name).read_bytes() == (original.path / name).read_bytes()
    assert (run.path / "output" / "chips-00000.arrow.out").read_bytes() == b"answer"


def test_a_run_that_does_not_exist_is_an_error(s3: Any, store: S3Store) -> None:
    message = rf"^{OLD}: no export run of this id in s3://lake-of-tests/transform/20230815; make one with"
    with pytest.raises(ChiplakeError, match=message):
        store.open(OLD)


def test_a_run_in_s3_is_transformed_and_loaded(s3: Any, store: S3Store, settings: Settings, tmp_path: Path) -> None:
    put_run(s3, OLD, tmp_path)
    assert {name: report.status for name, report in run_transform(settings).items()} == {OLD: "Completed"}
    (report,) = run_load(settings)
    assert (report.run_id, report.embedded, report.errors, report.unanswered_objects) == (OLD, 3, 0, ())
    assert f"transform/20230815/{OLD}/loaded.json" in keys(s3)
    assert store.unfinished() == []
    assert run_load(settings) == []
    rows = open_catalog(settings).load_table("raw.clay_embeddings").scan().to_arrow()
    assert sorted(rows.column("chip_id").to_pylist()) == ["chip-000", "chip-001", "chip-002"]


def test_runs_in_a_folder_are_the_default(tmp_path: Path) -> None:
    assert run_store(Settings().replace(home=tmp_path)) == FolderStore(tmp_path / "transform")


def test_s3_needs_an_address(tmp_path: Path) -> None:
    settings = Settings().replace(home=tmp_path, transform_export_to="s3")
    with pytest.raises(ChiplakeError, match=r"CHIPLAKE_TRANSFORM_EXPORT_TO=s3 needs CHIPLAKE_TRANSFORM_S3_URI; set it"):
        run_store(settings)
