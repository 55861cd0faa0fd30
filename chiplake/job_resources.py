"""How a processing job divides the memory and cores of its hosts, which are all of one instance type.

Memory of a machine: the heaps of the JVMs, a Python worker for each core (docs/scale.md), and a rest for the system.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

_WORKER_GIB: Final = 1.25
_SYSTEM_GIB: Final = 2.0
_LARGEST_HEAP_GIB: Final = 31  # above, object references take twice the bytes
_PARTITIONS_PER_CORE: Final = 3  # a task mostly waits if rasters are on a server

_DAEMON_GIB: Final = 0.75  # a heap of DAEMON_MEMORY, and the rest of its process
_LARGEST_DRIVER_GIB: Final = 8  # a driver plans; its tasks run in executors

DAEMON_MEMORY: Final = "512m"  # heap of Spark's master, and of a worker


@dataclass(frozen=True)
class Machine:
    """The resources of one host."""

    cores: int
    memory_gib: float

    @property
    def heap_gib(self) -> int:
        """Heap of the JVM if it is the only one, GiB."""
        return int(min(max(self.heaps_gib(daemons=0), 1), _LARGEST_HEAP_GIB))

    def settings(self) -> dict[str, str]:
        """Return the settings of a session that has this machine for itself."""
        return {
            "CHIPLAKE_SPARK_DRIVER_MEMORY": f"{self.heap_gib}g",
            "CHIPLAKE_SHUFFLE_PARTITIONS": str(self.cores * _PARTITIONS_PER_CORE),
        }

    def heaps_gib(self, daemons: int) -> float:
        """Return the memory for heaps beside some daemons of Spark, GiB."""
        return (self.memory_gib - self.cores * _WORKER_GIB - _SYSTEM_GIB - daemons * _DAEMON_GIB) * 0.8


@dataclass(frozen=True)
class ClusterResources:
    """The resources of several equal hosts: an executor on each, and beside it the driver on the primary."""

    machine: Machine
    hosts: int

    @property
    def driver_gib(self) -> int:
        """Heap of the driver, GiB."""
        return int(min(max(self._primary_gib / 4, 1), _LARGEST_DRIVER_GIB))

    @property
    def executor_gib(self) -> int:
        """Heap of an executor, GiB. All have the same, so it is what fits beside the driver."""
        return int(min(max(self._primary_gib - self.driver_gib, 1), _LARGEST_HEAP_GIB))

    @property
    def cores(self) -> int:
        """Number of tasks at the same time."""
        return self.worker_cores(is_primary=True) + (self.hosts - 1) * self.worker_cores(is_primary=False)

    def worker_cores(self, is_primary: bool) -> int:
        """Return the cores of a host's executor. On the primary, one core is left for the driver."""
        return max(self.machine.cores - is_primary, 1)

    def settings(self) -> dict[str, str]:
        """Return the settings of the session."""
        return {
            "CHIPLAKE_SPARK_DRIVER_MEMORY": f"{self.driver_gib}g",
            "CHIPLAKE_SHUFFLE_PARTITIONS": str(self.cores * _PARTITIONS_PER_CORE),
        }

    def spark_properties(self) -> dict[str, str]:
        """Return the Spark properties of the session. An executor takes all cores that its worker has."""
        return {
            "spark.executor.memory": f"{self.executor_gib}g",
            # Without it, the number is that of the executors that have started by then.
            "spark.default.parallelism": str(self.cores),
        }

    @property
    def _primary_gib(self) -> float:
        return self.machine.heaps_gib(daemons=2)


def this_machine() -> Machine:
    """Return the cores that this process may use, and the memory of the machine."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(len(os.sched_getaffinity(0)), memory / 2**30)
