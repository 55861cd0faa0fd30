"""Addresses are signed when a raster is opened, and no signature is ever said."""

from __future__ import annotations

import importlib
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from test_extract_chips import cut, one_chip, random_scene

from lakehouse.errors import ChiplakeError
from lakehouse.settings import InvalidSettingError, Settings, get_settings
from lakehouse.signing import load_signer, without_signature
from python_udfs.extract.table_function import ExtractChips

SECRET = "s3cr3t"


def add_signature(href: str) -> str:
    """What a user's own signer looks like."""
    return f"{href}?sig={SECRET}"


def refuse(href: str) -> str:
    raise LookupError(f"no answer from https://tokens.example.com/?sig={SECRET}")


@pytest.fixture
def signer(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    monkeypatch.setenv("CHIPLAKE_HREF_SIGNER", f"{__name__}:{request.param}")
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


# In a process of its own: GDAL may wait for an answer while it keeps this process's threads from running.
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
    """A server that gives files to those alone who sign."""
    command = [sys.executable, "-c", GUARDED_SERVER, str(tmp_path), SECRET]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.terminate()


@pytest.mark.parametrize("signer", ["add_signature"], indirect=True)
def test_rasters_behind_signatures_are_read(signer: None, guarded: str, tmp_path: Path) -> None:
    scene = random_scene(1, (128, 128)).write(tmp_path)
    scene.hrefs = {name: f"{guarded}/{Path(href).name}" for name, href in scene.hrefs.items()}
    chip = one_chip(ExtractChips(), scene)
    assert chip["error"] is None
    assert np.count_nonzero(chip["blue"]) > 0
    assert chip["scl"].tolist() == cut(scene.on_canvas("scl"), (0, 0)).tolist()


@pytest.mark.parametrize("signer", ["add_signature"], indirect=True)
def test_no_error_and_no_log_holds_the_signature(
    signer: None, guarded: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for number, damage in enumerate((b"", b"no raster")):
        scene = random_scene(number, (128, 128)).write(tmp_path)
        Path(scene.hrefs["blue"]).write_bytes(damage)
        scene.hrefs = {name: f"{guarded}/{Path(href).name}" for name, href in scene.hrefs.items()}
        chip = one_chip(ExtractChips(), scene)
        assert f"{scene.scene_id} asset blue cannot be used" in chip["error"]
        assert SECRET not in chip["error"]
    assert caplog.records
    assert SECRET not in caplog.text


@pytest.mark.parametrize("signer", ["refuse", "nobody"], indirect=True)
def test_a_signer_that_fails_makes_errors_of_the_scenes_chips(signer: None, tmp_path: Path) -> None:
    scene = random_scene(1, (128, 128)).write(tmp_path)
    error = one_chip(ExtractChips(), scene)["error"]
    assert "its address cannot be signed" in error
    assert SECRET not in error


def test_words_are_kept_where_nothing_was_signed() -> None:
    assert without_signature("a.tif is broken", "a.tif", "a.tif") == "a.tif is broken"
    assert without_signature("'a.tif?k=v' is broken, k=v", "a.tif?k=v", "a.tif") == "'a.tif' is broken, …"


@pytest.mark.parametrize("name", ["planetary-computer", "os.system", "a:b:c", "a b:c", ""])
def test_a_name_that_can_be_no_signer_is_refused_by_the_settings(name: str) -> None:
    with pytest.raises(InvalidSettingError):
        Settings().replace(href_signer=name)
    assert Settings().replace(href_signer="my_house.signing:sign").cutting.href_signer == "my_house.signing:sign"


def test_a_signer_that_is_not_there_is_named_in_the_error() -> None:
    with pytest.raises(ChiplakeError, match="no_such_module:sign"):
        load_signer("no_such_module:sign")


def test_planetary_computers_token_service_is_asked_once_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class TokenService(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            expiry = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
            body = json.dumps({"msft:expiry": expiry, "token": f"st=1&se=2&sp=rl&sig={SECRET}"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    sign = load_signer("planetary_computer")
    from planetary_computer.settings import Settings as PlanetaryComputerSettings

    with ThreadingHTTPServer(("127.0.0.1", 0), TokenService) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setattr(PlanetaryComputerSettings.get(), "sas_url", f"http://127.0.0.1:{server.server_port}/token")
        href = "https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/33/T/WL/B02_10m.tif"
        assert sign(href) == f"{href}?st=1&se=2&sp=rl&sig={SECRET}"
        assert sign(href.replace("B02", "B03")).endswith(SECRET)
        assert sign("https://example.com/B02.tif") == "https://example.com/B02.tif"
        assert sign("/data/B02.tif") == "/data/B02.tif"
        # One that would expire while a raster is open is not used again.
        (token,) = importlib.import_module("planetary_computer.sas").TOKEN_CACHE.values()
        token.expiry = datetime.now(UTC) + timedelta(minutes=10)
        assert sign(href).endswith(SECRET)
        server.shutdown()
    assert asked == ["/token/sentinel2l2a01/sentinel2-l2"] * 2
