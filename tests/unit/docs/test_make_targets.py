"""The targets of the Makefile: `make help` lists them, and pages, CI and commit hooks use those that exist."""

from __future__ import annotations

import re

import yaml
from support.pages import PAGES, blocks_of

from lakehouse.settings import PROJECT_DIR

MAKEFILE = (PROJECT_DIR / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z][a-z-]*):(?!=)", MAKEFILE, re.MULTILINE))


def test_make_help_lists_every_target() -> None:
    assert set(re.findall(r"^([a-z-]+):.*## \S", MAKEFILE, re.MULTILINE)) == TARGETS
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert set(phony.split()) == TARGETS


def test_pages_name_targets_that_exist() -> None:
    named = {
        target
        for page in PAGES
        for text in [(PROJECT_DIR / page).read_text()]
        for block in blocks_of(page, text)
        for target in re.findall(r"^\$ make ([a-z-]+)", block.text, re.MULTILINE)
    }
    assert {"setup", "demo"} <= named <= TARGETS


def test_ci_makes_the_same_targets_here_and_on_github() -> None:
    script = (PROJECT_DIR / ".ci" / "run").read_text()
    here = re.findall(r"^make (\S+)$", script, re.MULTILINE)
    workflow = yaml.safe_load((PROJECT_DIR / ".github" / "workflows" / "ci.yml").read_text())
    assert workflow["jobs"]["make"]["strategy"]["matrix"]["target"] == ["check", *here]
    assert {"check", *here} <= TARGETS


def test_hooks_before_a_commit_are_the_linters_of_make() -> None:
    config = yaml.safe_load((PROJECT_DIR / ".pre-commit-config.yaml").read_text())
    hooks = {
        hook["entry"].removeprefix(".venv/bin/").split(" --")[0] for repo in config["repos"] for hook in repo["hooks"]
    }
    recipes = re.findall(r"^(?:lint|style|types):.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    linters = {
        re.sub(r" (--|\.$).*", "", line.removeprefix("\t$(BIN)/")) for recipe in recipes for line in recipe.splitlines()
    }
    assert hooks == linters
