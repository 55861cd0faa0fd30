"""Base images: what is looked up, how the deployment's file keeps it, and the errors. A double of `docker` answers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from stack.bases import Base, base_lines, bases, digest_of, main, pin, pinned_text
from stack.config import Config, read_config

from lakehouse.errors import ChiplakeError

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
SPARK, CLAY = "python:3.11-slim-bookworm", "python:3.11-slim"


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `docker` that records its arguments and does what a test writes into its file `answer`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "docker"
    program.write_text(f'#!/bin/bash\nprintf "%s\\n" "$@" >> "{folder}/arguments"\n. "{folder}/answer"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    (folder / "answer").write_text(f"echo '\"{ONE}\"'")
    return folder


def test_the_defaults_are_the_images_that_the_dockerfiles_name() -> None:
    assert bases(Config()) == (Base("spark_base", SPARK), Base("clay_base", CLAY))


def test_docker_is_asked_for_the_digest_of_the_list_of_platforms(docker: Path) -> None:
    assert digest_of(Base("clay_base", "registry.example.org:5000/python:3.11")) == ONE
    assert (docker / "arguments").read_text().splitlines() == [
        *("buildx", "imagetools", "inspect", "registry.example.org:5000/python:3.11"),
        *("--format", "{{json .Manifest.Digest}}"),
    ]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("echo 'ERROR: failed to do request: no such host' >&2; exit 1", "ERROR: failed to do request: no such host. "),
        (
            "echo \"docker: 'buildx' is not a docker command.\" >&2; exit 1",
            "docker: 'buildx' is not a docker command. ",
        ),
        ("echo 'Name: docker.io/library/python:3.11-slim'", "Name: docker.io/library/python:3.11-slim. "),
        ("exit 0", "Docker said nothing. "),
    ],
)
def test_a_digest_that_is_not_found_leaves_the_file_and_names_the_remedy(
    docker: Path, tmp_path: Path, answer: str, said: str
) -> None:
    (docker / "answer").write_text(answer)
    file = tmp_path / "deployment.yaml"
    file.write_text("clay_base: null\n")
    with pytest.raises(ChiplakeError) as raised:
        pin(file, read_config(file))
    message = str(raised.value)
    assert message.startswith(f"cannot find the digest of the base image {SPARK}: {said}")
    assert f"`docker buildx imagetools inspect {SPARK}`" in message
    assert "spark_base: IMAGE@sha256:…" in message
    assert file.read_text() == "clay_base: null\n"


def test_only_the_values_change_and_a_missing_key_is_added() -> None:
    text = "# Mine.\r\nname: lake # short\r\nclay_base:   null   # the server\r\nnight_hours: 3\r\n"
    pinned = pinned_text(text, {"clay_base": f"{CLAY}@{TWO}", "spark_base": f"{SPARK}@{ONE}"})
    assert pinned == (
        f"# Mine.\r\nname: lake # short\r\nclay_base: {CLAY}@{TWO}   # the server\r\nnight_hours: 3\r\n"
        f"# Base image of docker/spark.Dockerfile, as deploy.sh found it.\r\nspark_base: {SPARK}@{ONE}\r\n"
    )


def test_an_image_of_your_own_without_a_digest_gets_its_digest_and_a_pinned_one_stays(
    docker: Path, tmp_path: Path
) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text(f"spark_base: mirror.example.org/python:3.11\nclay_base: {CLAY}@{TWO}\n")
    pinned = pin(file, read_config(file))
    assert pinned == read_config(file)
    assert (pinned.spark_base, pinned.clay_base) == (f"mirror.example.org/python:3.11@{ONE}", f"{CLAY}@{TWO}")
    assert (docker / "arguments").read_text().splitlines().count("inspect") == 1
    assert list(base_lines(pinned, "x.yaml")) == [
        f"spark_base: mirror.example.org/python:3.11@{ONE} "
        f"(docker/spark.Dockerfile names {SPARK}; spark_base: null takes that)",
        f"clay_base: {CLAY}@{TWO}",
    ]


@pytest.mark.usefixtures("docker")
@pytest.mark.parametrize("text", ["{name: lake}\n", "spark_base:\n  python:3.11\n"])
def test_a_file_of_another_form_is_not_changed_and_the_message_has_the_lines(tmp_path: Path, text: str) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text(text)
    with pytest.raises(
        ChiplakeError, match=f"write them into it by hand: spark_base: python:3.11.*@{ONE}, clay_base: "
    ):
        pin(file, read_config(file))
    assert file.read_text() == text


def test_a_plan_asks_nobody(
    docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text(f"clay_base: {CLAY}@{TWO}\n")
    monkeypatch.setattr(sys, "argv", ["bases", str(file), "--plan"])
    main()
    assert capsys.readouterr().out.splitlines() == [
        f"    spark_base: {SPARK}, whose digest a deployment looks up and writes into {file}",
        f"    clay_base: {CLAY}@{TWO}",
    ]
    assert file.read_text() == f"clay_base: {CLAY}@{TWO}\n"
    assert not (docker / "arguments").exists()
