"""Signers are found by name, sign addresses while a task runs, and their signatures are removed from messages."""

from __future__ import annotations

import importlib
import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lakehouse.errors import ChiplakeError
from lakehouse.settings import InvalidSettingError, Settings
from lakehouse.signing import load_signer, without_signature

SECRET = "s3cr3t"


def test_only_signatures_are_removed_from_messages() -> None:
    assert without_signature("a.tif is broken", "a.tif", "a.tif") == "a.tif is broken"
    assert without_signature("'a.tif?k=v' is broken, k=v", "a.tif?k=v", "a.tif") == "'a.tif' is broken, …"


@pytest.mark.parametrize("name", ["planetary-computer", "os.system", "a:b:c", "a b:c", ""])
def test_settings_refuse_a_name_that_is_not_a_signer(name: str) -> None:
    with pytest.raises(InvalidSettingError):
        Settings().replace(href_signer=name)
    assert Settings().replace(href_signer="my_house.signing:sign").cutting.href_signer == "my_house.signing:sign"


def test_the_error_names_an_unknown_signer() -> None:
    with pytest.raises(ChiplakeError, match="no_such_module:sign"):
        load_signer("no_such_module:sign")


def test_the_token_service_gets_one_request_for_each_container(monkeypatch: pytest.MonkeyPatch) -> None:
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
        # A token that could expire while a raster is open is not used again.
        (token,) = importlib.import_module("planetary_computer.sas").TOKEN_CACHE.values()
        token.expiry = datetime.now(UTC) + timedelta(minutes=10)
        assert sign(href).endswith(SECRET)
        server.shutdown()
    assert asked == ["/token/sentinel2l2a01/sentinel2-l2"] * 2
