"""How code in the project's pages is found and compared."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.pages import PageShell, blocks_of, environment_of_a_reader, prints_as_said

PAGE = """
```console
$ echo one \\
    two
one two
$ true
```

<!-- not run: needs AWS -->
```console
$ ./deploy.sh
```

```sql
select 1
```

<!-- not run: needs Docker -->
```console
$ docker build
```
"""


def test_blocks_have_their_language_their_line_and_the_reason_not_to_run() -> None:
    found = [(block.language, block.line, block.reason) for block in blocks_of("a.md", PAGE)]
    assert found == [
        ("console", 2, None),
        ("console", 10, "needs AWS"),
        ("sql", 14, None),
        ("console", 19, "needs Docker"),
    ]


def test_a_command_may_span_lines_and_has_its_output() -> None:
    first, *_ = blocks_of("a.md", PAGE)
    assert first.commands == (("echo one \\\n    two", "one two"), ("true", ""))


def test_a_command_in_quotes_goes_on_until_they_end() -> None:
    text = '```console\n$ echo "a\n  b"\na\n  b\n```\n'
    (block,) = blocks_of("a.md", text)
    assert block.commands == (('echo "a\n  b"', "a\n  b"),)


@pytest.mark.parametrize(
    ("printed", "said", "expected"),
    [
        ("a\nb\n", "a\nb", True),
        ("a\nb\n", "a\nc", False),
        ("a  \nb\n", "a\nb", True),
        ("|   a |\n| ----- |", "| a |\n| --- |", True),
        ("took 12 s", "took ... s", True),
        ("a\nx\ny\nb", "a\n...\nb", True),
        ("a\nb", "a\n...\nb", True),
        ("a\nx\ny", "a\n...", True),
        ("x\na", "a\n...", False),
        ("anything", "", True),
        ("a.c", "abc", False),
    ],
)
def test_dots_stand_for_any_text(printed: str, said: str, expected: bool) -> None:
    assert prints_as_said(printed, said) is expected


def test_a_shell_keeps_its_variables_and_its_folder(tmp_path: Path) -> None:
    shell = PageShell(tmp_path / "shell", environment_of_a_reader(tmp_path, Path("/usr/bin")))
    shell.run(f"export ANSWER=42; cd {tmp_path}")
    assert shell.run('echo "$ANSWER in $PWD"') == f"42 in {tmp_path}\n"
    assert shell.run("exit 3", expected_code=3) == ""
