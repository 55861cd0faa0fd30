"""Addresses are signed when a raster is opened, and no error or log holds the signature."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.canvas_scenes import assert_cut, one_chip, random_scene

from lakehouse.settings import get_settings
from python_udfs.extract.cutter import ChipCutter

SECRET = "s3cr3t"


def add_signature(href: str) -> str:
    """A user's own signer."""
    return f"{href}?sig={SECRET}"


def refuse(href: str) -> str:
    """A signer that fails, with the signature in its message."""
    raise LookupError(f"no answer from https://tokens.example.com/?sig={SECRET}")


@pytest.fixture
def signer(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """Setting href_signer names a function of this module."""
    monkeypatch.setenv("CHIPLAKE_HREF_SIGNER", f"{__name__}:{request.param}")
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


# In its own process: GDAL may hold the interpreter lock while it waits for an answer.
GUARDED_SERVER = """
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

class Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args):
        super().__init__(*args, directory=sys.argv[1])

    def send_head(self):
        if parse_qs(urlsplit(self.path).query).get("sig") == [sys.argv[2]]:
            return super().send_head()
        self.send_error(403)

    def log_message(self, *args):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """Address of a server that sends files only to signed requests."""
    command = [sys.executable, "-c", GUARDED_SERVER, str(tmp_path), SECRET]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.terminate()


@pytest.mark.usefixtures("signer")
@pytest.mark.parametrize("signer", ["add_signature"], indirect=True)
def test_rasters_that_need_a_signature_are_read(guarded: str, tmp_path: Path, extract_files: ChipCutter) -> None:
    scene = random_scene(1, (128, 128)).write(tmp_path)
    scene.hrefs = {name: f"{guarded}/{Path(href).name}" for name, href in scene.hrefs.items()}
    chip = one_chip(extract_files, scene)
    assert_cut(chip, scene, (0, 0))
    assert np.count_nonzero(chip["blue"]) > 0


@pytest.mark.usefixtures("signer")
@pytest.mark.parametrize("signer", ["add_signature"], indirect=True)
def test_no_error_and_no_log_holds_the_signature(
    guarded: str, tmp_path: Path, extract_files: ChipCutter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for number, damage in enumerate((b"", b"no raster")):
        scene = random_scene(number, (128, 128)).write(tmp_path)
        Path(scene.hrefs["blue"]).write_bytes(damage)
        scene.hrefs = {name: f"{guarded}/{Path(href).name}" for name, href in scene.hrefs.items()}
        chip = one_chip(extract_files, scene)
        assert f"{scene.scene_id} asset blue cannot be used" in chip["error"]
        assert SECRET not in chip["error"]
    assert caplog.records
    assert SECRET not in caplog.text


@pytest.mark.usefixtures("signer")
@pytest.mark.parametrize("signer", ["refuse", "nobody"], indirect=True)
def test_a_signer_that_fails_makes_errors_of_the_chips(tmp_path: Path, extract_files: ChipCutter) -> None:
    scene = random_scene(1, (128, 128)).write(tmp_path)
    error = one_chip(extract_files, scene)["error"]
    assert "its address cannot be signed" in error
    assert SECRET not in error
