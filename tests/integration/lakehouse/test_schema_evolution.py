"""Schema evolution in both engines: tables of an older release, and properties that settings add as columns."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import DoubleType, IntegerType, ListType, LongType, MapType, NestedField, StringType, StructType
from pyspark.sql import SparkSession
from support.ingests import write_items
from support.lakes import empty_lake
from support.stac_items import make_item

from ingestion import IngestRequest, ingest
from ingestion.item.normalise import normalise
from ingestion.model import Origin, Received, StacItemRow
from ingestion.store.items import ItemWriter
from lakehouse.catalog import ensure_sources, open_catalog
from lakehouse.errors import ChiplakeError
from lakehouse.settings import InvalidSettingError, Settings
from lakehouse.source_schemas import RAW_NAMESPACE, STAC_ITEMS, STAC_ITEMS_SCHEMA, STAC_REJECTS

NOW = datetime(2024, 1, 1, tzinfo=UTC)
NEW_COLUMNS = ("datastrip_id", "geometry_source", "is_deprecated")


@pytest.fixture
def lake_settings(tmp_path: Path) -> Settings:
    return Settings().replace(home=tmp_path / "lake")


def without(kind: StructType, *names: str) -> StructType:
    return StructType(*(field for field in kind.fields if field.name not in names))


def old_schema() -> Schema:
    """Return the schema of `raw.stac_items` in the first release."""
    fields = [field for field in STAC_ITEMS_SCHEMA.fields if field.name not in NEW_COLUMNS]
    place = next(number for number, field in enumerate(fields) if field.name == "assets")
    assets = fields[place].field_type
    assert isinstance(assets, MapType)
    assert isinstance(assets.value_type, StructType)
    old = MapType(
        assets.key_id,
        assets.key_type,
        assets.value_id,
        without(assets.value_type, "passed_over", "data_type"),
        assets.value_required,
    )
    fields[place] = NestedField(fields[place].field_id, "assets", old, required=False)
    return Schema(*fields)


def make_table(catalog: Catalog, name: str, schema: Schema) -> Table:
    if (RAW_NAMESPACE,) not in catalog.list_namespaces():
        catalog.create_namespace(RAW_NAMESPACE)
    return catalog.create_table(name, schema, properties={"format-version": "2"})


def row_of(item: dict[str, Any], settings: Settings | None = None) -> StacItemRow:
    received = Received(item, None, Origin("https://example.com/stac"))
    row = normalise(received, extra_types=settings.stac.properties if settings else None)
    assert isinstance(row, StacItemRow), row
    return row


def rows_in(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the last written version of each item."""
    table = open_catalog(settings).load_table(STAC_ITEMS).scan().to_arrow().sort_by("ingested_at")
    return {row["item_id"]: row for row in table.to_pylist()}


def metadata(settings: Settings) -> dict[str, str]:
    """Return the location of the metadata of each source table, which every commit changes."""
    catalog = open_catalog(settings)
    return {".".join(name): catalog.load_table(name).metadata_location for name in catalog.list_tables(RAW_NAMESPACE)}


def columns_of(settings: Settings, name: str = STAC_ITEMS) -> list[str]:
    return [field.name for field in open_catalog(settings).load_table(name).schema().fields]


def test_a_table_of_the_first_release_gets_the_new_columns_and_keeps_its_rows(lake_settings: Settings) -> None:
    make_table(open_catalog(lake_settings), STAC_ITEMS, old_schema())
    # The writer writes the columns of the table: these rows are like those of that release.
    ItemWriter(open_catalog(lake_settings), NOW).write_rows([row_of(make_item(0))])
    catalog = ensure_sources(lake_settings)
    assert columns_of(lake_settings) == [field.name for field in STAC_ITEMS_SCHEMA.fields]
    ItemWriter(catalog, NOW).write_rows([row_of(make_item(1))])
    old, new = (rows_in(lake_settings)[make_item(number)["id"]] for number in (0, 1))
    assert (old["datastrip_id"], old["geometry_source"]) == (None, None)
    assert (new["datastrip_id"], new["geometry_source"]) == (row_of(make_item(1)).datastrip_id, "geometry")
    assert dict(old["assets"])["blue"]["passed_over"] is None
    assert dict(new["assets"])["blue"]["passed_over"] == []
    assert dict(old["assets"])["blue"]["href"] == dict(new["assets"])["blue"]["href"]


def test_a_table_that_lacks_nothing_gets_no_commit(lake_settings: Settings) -> None:
    ensure_sources(lake_settings)
    before = metadata(lake_settings)
    ensure_sources(lake_settings)
    assert metadata(lake_settings) == before
    make_table(open_catalog(lake_settings), "raw.other", Schema(NestedField(1, "a", StringType(), required=False)))
    with_columns = lake_settings.replace(stac_properties={"s2:snow_ice_percentage": "double"})
    ensure_sources(with_columns)
    after = metadata(lake_settings)
    assert {name for name in before if after[name] != before[name]} == {STAC_ITEMS}
    for again in (with_columns, lake_settings):  # settings without the property leave its column where it is
        ensure_sources(again)
        assert metadata(lake_settings) == after


def test_spark_reads_old_rows_and_new_rows_of_an_evolved_table(spark: SparkSession, settings: Settings) -> None:
    empty_lake(spark, settings)
    try:
        spark.sql(f"drop table {STAC_ITEMS} purge")
        make_table(open_catalog(settings), STAC_ITEMS, old_schema())
        ItemWriter(open_catalog(settings), NOW).write_rows([row_of(make_item(0))])
        assert spark.table(STAC_ITEMS).count() == 1
        with_columns = settings.replace(stac_properties={"s2:snow_ice_percentage": "double"})
        catalog = ensure_sources(with_columns)
        ItemWriter(catalog, NOW).write_rows([row_of(make_item(1, **{"s2:snow_ice_percentage": 12.5}), with_columns)])
        rows = spark.sql(
            "select geometry_source, s2_snow_ice_percentage as snow, assets['blue'].passed_over as passed_over, "
            f"assets['blue'].href as href from {STAC_ITEMS} order by acquired_at"
        ).collect()
        assert [(row.geometry_source, row.snow, row.passed_over) for row in rows] == [
            (None, None, None),
            ("geometry", 12.5, []),
        ]
        assert rows[0].href == rows[1].href is not None
        # This release writes null to a column that Spark or a newer release has added.
        spark.sql(f"alter table {STAC_ITEMS} add column assets.value.added_by_spark int")
        spark.sql(f"alter table {STAC_ITEMS} add column from_the_future array<string>")
        ensure_sources(with_columns)
        ItemWriter(catalog, NOW).write_rows([row_of(make_item(2), with_columns)])
        (row,) = spark.sql(
            f"select from_the_future, assets['blue'].added_by_spark as added, assets['blue'].gsd as gsd "
            f"from {STAC_ITEMS} where item_id = '{make_item(2)['id']}'"
        ).collect()
        assert (row.from_the_future, row.added, row.gsd) == (None, None, 10.0)
    finally:
        empty_lake(spark, settings)


def test_a_property_becomes_a_column_once_the_settings_name_it(lake_settings: Settings) -> None:
    kinds = {"s2:snow_ice_percentage": "double", "view:sunAzimuth": "long", "s2:generation_time": "timestamp"}
    facts = {"s2:snow_ice_percentage": 3, "view:sunAzimuth": "east", "s2:generation_time": "2023-08-15T15:50:57Z"}
    ensure_sources(lake_settings)
    first, second = make_item(0, **facts), make_item(1, **facts)
    ItemWriter(open_catalog(lake_settings), NOW).write_rows([row_of(first)])
    with_columns = lake_settings.replace(stac_properties=kinds)
    writer = ItemWriter(ensure_sources(with_columns), NOW + timedelta(days=1))
    assert len(writer.write_rows([row_of(second, with_columns)]).write) == 1
    rows = rows_in(with_columns)
    drawn_columns = ("s2_snow_ice_percentage", "view_sun_azimuth", "s2_generation_time")
    assert [rows[first["id"]][column] for column in drawn_columns] == [None, None, None]
    assert [rows[second["id"]][column] for column in drawn_columns] == [
        3.0,
        None,  # not of the requested type
        datetime(2023, 8, 15, 15, 50, 57, tzinfo=UTC),
    ]
    # Stored items get the values when they are received again, once.
    assert len(writer.write_rows([row_of(first, with_columns)]).write) == 1
    assert writer.write_rows([row_of(first, with_columns), row_of(second, with_columns)]).unchanged == 2
    assert rows_in(with_columns)[first["id"]]["s2_snow_ice_percentage"] == 3.0


def test_an_ingest_fills_the_columns_that_the_settings_name(lake_settings: Settings, tmp_path: Path) -> None:
    item = make_item(0, **{"s2:snow_ice_percentage": 12.5})
    request = IngestRequest(items=write_items(tmp_path / "items.json", [item]))
    assert ingest(request, lake_settings).written == 1
    with_columns = lake_settings.replace(stac_properties={"s2:snow_ice_percentage": "double"})
    assert ingest(request, with_columns).written == 1
    assert rows_in(with_columns)[item["id"]]["s2_snow_ice_percentage"] == 12.5
    assert ingest(request, with_columns).unchanged == 1


def test_a_narrow_column_is_widened_and_a_wide_one_stays(lake_settings: Settings) -> None:
    changes = {"relative_orbit": LongType(), "cloud_cover": IntegerType()}
    fields = [
        NestedField(field.field_id, field.name, changes.get(field.name, field.field_type), required=False)
        for field in STAC_ITEMS_SCHEMA.fields
        if field.name != "cloud_cover"
    ]
    make_table(open_catalog(lake_settings), STAC_ITEMS, Schema(*fields))
    writer = ItemWriter(ensure_sources(lake_settings), NOW)
    schema = open_catalog(lake_settings).load_table(STAC_ITEMS).schema()
    assert schema.find_field("relative_orbit").field_type == LongType()
    assert schema.find_field("cloud_cover").field_type == DoubleType()
    writer.write_rows([row_of(make_item(3))])
    row = rows_in(lake_settings)[make_item(3)["id"]]
    assert (row["relative_orbit"], row["cloud_cover"]) == (79, 3.0)

    rejects = Schema(NestedField(1, "item_id", StringType(), required=False))
    catalog = open_catalog(lake_settings)
    catalog.drop_table(STAC_REJECTS)
    make_table(catalog, STAC_REJECTS, rejects)
    ensure_sources(lake_settings)
    assert columns_of(lake_settings, STAC_REJECTS)[0] == "item_id"
    assert len(columns_of(lake_settings, STAC_REJECTS)) == 8


@pytest.mark.parametrize(
    ("column", "kind", "message"),
    [
        ("epsg", StringType(), "raw.stac_items.epsg is of type string and cannot become int"),
        ("cloud_cover", StructType(), "raw.stac_items.cloud_cover is of type struct<> and cannot become double"),
        (
            "assets",
            ListType(90, StringType(), False),
            "raw.stac_items.assets is of type list<string> and cannot become",
        ),
    ],
)
def test_a_type_that_cannot_be_widened_is_named(lake_settings: Settings, column: str, kind: Any, message: str) -> None:
    fields = [
        NestedField(field.field_id, field.name, kind if field.name == column else field.field_type, required=False)
        for field in STAC_ITEMS_SCHEMA.fields
    ]
    make_table(open_catalog(lake_settings), STAC_ITEMS, Schema(*fields))
    with pytest.raises(ChiplakeError) as caught:
        ensure_sources(lake_settings)
    assert message in str(caught.value)


def test_a_property_cannot_take_the_place_of_a_column(lake_settings: Settings) -> None:
    for clashing in ("epsg", "Cloud_Cover", "data:assets"):
        with_columns = lake_settings.replace(stac_properties={clashing: "string"})
        if clashing == "data:assets":
            assert "data_assets" in ensure_sources(with_columns).load_table(STAC_ITEMS).schema().column_names
            continue
        with pytest.raises(ChiplakeError, match=f"CHIPLAKE_STAC_PROPERTIES: '{clashing}' would be the column"):
            ensure_sources(with_columns)
    other = lake_settings.replace(stac_properties={"data:assets": "double"})
    with pytest.raises(ChiplakeError, match=r"data_assets is of type string and cannot become double"):
        ensure_sources(other)


def test_the_setting_is_json_and_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CHIPLAKE_HOME", str(tmp_path))
    monkeypatch.setenv("CHIPLAKE_STAC_PROPERTIES", '{"s2:snow_ice_percentage": "double"}')
    assert Settings().stac.properties == {"s2:snow_ice_percentage": "double"}
    assert "s2_snow_ice_percentage" in [
        field.name for field in ensure_sources(Settings()).load_table(STAC_ITEMS).schema().fields
    ]
    for wrong in ('{"a": "text"}', '{"1": "long"}', '{"::": "long"}', '{"a:b": "long", "a_b": "long"}'):
        monkeypatch.setenv("CHIPLAKE_STAC_PROPERTIES", wrong)
        with pytest.raises(InvalidSettingError):
            Settings()


def test_processes_that_evolve_a_table_at_the_same_time_all_succeed(lake_settings: Settings) -> None:
    make_table(open_catalog(lake_settings), STAC_ITEMS, old_schema())
    kinds = [{f"a:{number}": "long"} for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        settings = [lake_settings.replace(stac_properties=kind) for kind in kinds]
        list(pool.map(ensure_sources, settings))
    expected = {field.name for field in STAC_ITEMS_SCHEMA.fields} | {f"a_{number}" for number in range(4)}
    assert set(columns_of(lake_settings)) == expected


# --- versions of an item --------------------------------------------------------------------------------------


def test_an_item_whose_datetime_moves_by_months_is_a_new_version(
    lake_settings: Settings,
) -> None:
    """The writer looks for known versions only near the item's date; a version that it misses must do no harm."""
    writer = ItemWriter(ensure_sources(lake_settings), NOW)
    wrong = row_of(make_item(0, updated="2023-09-01T00:00:00Z"))
    corrected = row_of(make_item(0, datetime="2023-03-01T09:58:11Z", updated="2023-09-02T00:00:00Z"))
    later = ItemWriter(writer.catalog, NOW + timedelta(days=1))
    for row in (wrong, corrected):
        assert len(writer.write_rows([row]).write) == 1
        assert later.write_rows([row]).unchanged == 1
    # A version that is received again, in any order, is known; the newest update stays the current version.
    assert later.write_rows([wrong]).unchanged == 1
    assert later.write_rows([corrected, row_of(make_item(5))]).unchanged == 1
    table = writer.catalog.load_table(STAC_ITEMS).scan().to_arrow()
    keys = table.select(["collection", "item_id", "content_hash"]).to_pylist()
    assert len({tuple(key.values()) for key in keys}) == len(keys) == 3
    versions = table.filter(pa.compute.equal(table["item_id"], wrong.item_id)).to_pylist()
    assert max(versions, key=lambda row: row["updated_at"])["acquired_at"] == corrected.acquired_at
