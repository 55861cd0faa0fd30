"""The demo's lake, made once for all test processes."""

from __future__ import annotations

import fcntl

import pytest
from support.demo_lake import Shell


@pytest.fixture(scope="session")
def shell(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Shell:
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "demo"
    folder.mkdir(exist_ok=True)
    shell = Shell(folder / "lake")
    output = folder / "demo.txt"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not output.exists():
            output.write_text(shell("chiplake", "demo", "--home", str(shell.home), COLUMNS="120"))
    return shell
