"""Variables of `.env` files, and variables that nothing reads."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pages import PAGES

from lakehouse.errors import ChiplakeError
from lakehouse.notices import forget_notices
from lakehouse.settings import PROJECT_DIR, Settings, get_settings
from lakehouse.settings.listing import list_settings
from lakehouse.settings.variables import env_files, notice_unknown

SETTINGS = [setting.variable for setting in list_settings(Settings())]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory, in which a `.env` is read."""
    monkeypatch.delenv("CHIPLAKE_ENV_FILE", raising=False)
    monkeypatch.chdir(tmp_path)
    forget_notices()
    get_settings.cache_clear()
    yield tmp_path
    get_settings.cache_clear()


def test_a_dotenv_of_the_working_directory_is_read(folder: Path) -> None:
    (folder / ".env").write_text(
        "# my area\nexport CHIPLAKE_BBOX=16.3,45.7,16.5,45.8\nCHIPLAKE_FILL_MAX_AGE_DAYS='30'\n"
    )
    settings = Settings()
    assert settings.cutting.bbox == (16.3, 45.7, 16.5, 45.8)
    assert settings.filling.max_age_days == 30


def test_the_environment_has_priority_over_a_dotenv(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("CHIPLAKE_BBOX=16,45,17,46\nCHIPLAKE_BANDS=red,nir\n")
    monkeypatch.setenv("CHIPLAKE_BBOX", "1,2,3,4")
    assert Settings().cutting.bbox == (1, 2, 3, 4)
    assert Settings().cutting.bands == ("red", "nir")


def test_the_working_directory_has_priority_over_the_project(folder: Path) -> None:
    assert env_files() == (PROJECT_DIR / ".env", folder / ".env")


def test_another_file_may_be_named_and_none_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("CHIPLAKE_CHANGE_HISTORY=5\n")
    (folder / "other.env").write_text("CHIPLAKE_CHANGE_HISTORY=7\n")
    monkeypatch.setenv("CHIPLAKE_ENV_FILE", str(folder / "other.env"))
    assert Settings().change.history == 7
    monkeypatch.setenv("CHIPLAKE_ENV_FILE", "")
    assert Settings().change.history == 24


def test_a_dotenv_that_is_no_text_is_named(folder: Path) -> None:
    (folder / ".env").write_bytes(b"CHIPLAKE_HOME=\xff\xfe\n")
    with pytest.raises(ChiplakeError, match=rf"{folder}/\.env cannot be read: "):
        Settings()


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("CHIPLAKE_BOX", "CHIPLAKE_BBOX"),
        ("CHIPLAKE_FILL_MAX_AGE", "CHIPLAKE_FILL_MAX_AGE_DAYS"),
        ("CHIPLAKE_SCL_CLASSES", "CHIPLAKE_VALID_SCL_CLASSES"),
        ("CHIPLAKE_CHECKPOINT", "CHIPLAKE_CLAY_CHECKPOINT"),
        ("CHIPLAKE_TRIFT_PORT", "CHIPLAKE_THRIFT_PORT"),
    ],
)
def test_a_misspelt_variable_is_reported_with_the_nearest_name(
    capsys: pytest.CaptureFixture[str], name: str, nearest: str
) -> None:
    forget_notices()
    notice_unknown([name], SETTINGS)
    said = capsys.readouterr()
    assert said.err == f"warning: {name} is not a setting and has no effect; did you mean {nearest}?\n"
    assert said.out == ""


def test_a_variable_like_no_other_is_reported_without_a_guess(capsys: pytest.CaptureFixture[str]) -> None:
    forget_notices()
    notice_unknown(["CHIPLAKE_XYZZY"], SETTINGS)
    line = "warning: CHIPLAKE_XYZZY is not a setting and has no effect; `chiplake doctor` lists the settings\n"
    assert capsys.readouterr().err == line


def test_a_process_reports_a_variable_once_also_that_of_a_dotenv(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / ".env").write_text("CHIPLAKE_BANDZ=red\nHOME_OF_OTHERS=1\n")
    for _ in range(2):
        get_settings.cache_clear()
        get_settings()
    lines = [line for line in capsys.readouterr().err.splitlines() if "BANDZ" in line or "HOME_OF" in line]
    assert lines == ["warning: CHIPLAKE_BANDZ is not a setting and has no effect; did you mean CHIPLAKE_BANDS?"]


def test_every_variable_that_the_project_names_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    """Names in the code of the packages, the profiles, the images and the pages."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.yml", "*.sql", "*.Dockerfile", ":!tests", ":!docs"],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    named: set[str] = set()
    for file in (*listed.stdout.splitlines(), *PAGES):
        named |= set(re.findall(r"\bCHIPLAKE_[A-Z0-9_]*[A-Z0-9]\b", (PROJECT_DIR / file).read_text()))
    forget_notices()
    prefixes = {name for name in named if any(setting.startswith(f"{name}_") for setting in SETTINGS)}
    notice_unknown(named - prefixes - {"CHIPLAKE_A", "CHIPLAKE_AIRFLOW", "CHIPLAKE_THRIFT"}, SETTINGS)
    assert capsys.readouterr().err == ""
