"""How a job divides the memory and cores of its hosts."""

from __future__ import annotations

import pytest

from chiplake.job_resources import ClusterResources, Machine

# Cores and memory in GiB that a container of an instance has: ml.m5.xlarge, ml.m5.4xlarge, ml.m5.24xlarge, c5.24xlarge.
MACHINES = [(4, 15.5), (16, 62), (96, 384), (96, 190)]


@pytest.mark.parametrize(
    ("cores", "memory_gib", "heap_gib"),
    [(4, 15.5, 6), (16, 62, 31), (16, 30, 6), (96, 128, 4), (2, 4, 1)],
)
def test_the_heap_of_a_single_host_leaves_room_for_python(cores: int, memory_gib: float, heap_gib: int) -> None:
    assert Machine(cores, memory_gib).heap_gib == heap_gib
    assert heap_gib + cores * 1.1 < memory_gib


def test_the_settings_of_a_single_host() -> None:
    assert Machine(16, 62).settings() == {"CHIPLAKE_SPARK_DRIVER_MEMORY": "31g", "CHIPLAKE_SHUFFLE_PARTITIONS": "48"}


@pytest.mark.parametrize(("cores", "memory_gib"), MACHINES)
def test_the_primary_has_room_for_driver_executor_daemons_and_python(cores: int, memory_gib: float) -> None:
    resources = ClusterResources(Machine(cores, memory_gib), hosts=3)
    heaps = resources.driver_gib + resources.executor_gib
    python = cores * 1.25  # a worker for each core of the executor, and the driver's own process
    assert heaps * 1.1 + python + 2 * 0.5 < memory_gib
    assert resources.driver_gib >= 1
    assert resources.executor_gib >= resources.driver_gib


def test_the_resources_of_three_hosts() -> None:
    # 62 GiB less 16 x 1.25 for Python, 2 for the system and 1.5 for two daemons: 38.5. Four fifths of it are heaps,
    # 30.8: a quarter for the driver, 7, and the rest for the executor, 23. Cores: 15 beside the driver, 16, 16.
    resources = ClusterResources(Machine(16, 62), hosts=3)
    assert resources.settings() == {"CHIPLAKE_SPARK_DRIVER_MEMORY": "7g", "CHIPLAKE_SHUFFLE_PARTITIONS": "141"}
    assert resources.spark_properties() == {"spark.executor.memory": "23g", "spark.default.parallelism": "47"}
    assert resources.worker_cores(is_primary=True) == 15
    assert resources.worker_cores(is_primary=False) == 16


def test_the_smallest_hosts_have_a_core_and_a_gigabyte_each() -> None:
    resources = ClusterResources(Machine(1, 2), hosts=2)
    assert resources.settings() == {"CHIPLAKE_SPARK_DRIVER_MEMORY": "1g", "CHIPLAKE_SHUFFLE_PARTITIONS": "6"}
    assert resources.spark_properties() == {"spark.executor.memory": "1g", "spark.default.parallelism": "2"}
