"""`chiplake setup`: the jars of Spark, and the archive of the JVM's classes."""

from __future__ import annotations

from chiplake.output import print_line
from lakehouse.errors import ChiplakeError
from lakehouse.notices import notice
from lakehouse.settings import get_settings


def setup_command() -> None:
    """Check Java, fetch the missing jars, and archive the JVM's classes so that sessions start faster."""
    from lakehouse.spark.class_archive import ensure_class_archive
    from lakehouse.spark.jars import check_java, ensure_jars

    settings = get_settings()
    java, jars = check_java(), ensure_jars(settings.runtime)
    try:
        ensure_class_archive(jars)
    except ChiplakeError as error:  # sessions only start more slowly without it
        notice(str(error))
    print_line(f"Java {java}, {len(jars)} jars in {settings.runtime.jars_dir}")
