"""A user's own SQL functions: CHIPLAKE_FUNCTIONS."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakehouse.errors import ChiplakeError
from lakehouse.settings import InvalidSettingError, Settings
from python_udfs.registry import FUNCTIONS, all_functions

MODULE = '''
from python_udfs.sql_function import SqlFunction

def twice(value):
    """The double of a number."""
    return None if value is None else 2 * value

ONE = SqlFunction("twice", "scalar", "value int", "int", twice)
MORE = [SqlFunction("twice_more", "scalar", "value int", "int", twice)]
TAKEN = [SqlFunction("CHIP_MASK", "scalar", "value int", "int", twice)]
WRONG = ["twice"]
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a module with functions of a user."""
    name = f"functions_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_functions_of_a_user_follow_those_of_the_project(module: str) -> None:
    runtime = Settings().replace(functions=f"{module}:ONE,{module}:MORE").runtime
    functions = all_functions(runtime)
    assert functions[: len(FUNCTIONS)] == FUNCTIONS
    assert [(one.name, one.doc) for one in functions[len(FUNCTIONS) :]] == [
        ("twice", "The double of a number."),
        ("twice_more", "The double of a number."),
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:ONE", "cannot be imported: No module named 'no_such_module'; put its folder on PYTHONPATH"),
        ("{module}:NONE", "has no NONE; correct the name"),
        ("{module}:WRONG", "is neither a SqlFunction nor a list of them"),
        ("{module}:TAKEN", "CHIP_MASK of .*:TAKEN has the name of one of Chiplake's functions; rename it"),
        ("{module}:ONE,{module}:ONE", "twice of .* has the name of a function of .*:ONE; rename it"),
    ],
)
def test_the_error_of_an_unusable_function_is_one_line_with_a_remedy(module: str, name: str, message: str) -> None:
    runtime = Settings().replace(functions=name.format(module=module)).runtime
    with pytest.raises(ChiplakeError, match=f"^CHIPLAKE_FUNCTIONS: .*{message}"):
        all_functions(runtime)


@pytest.mark.parametrize("text", ["os.system", "a:b:c", "a:b,", "a b:c", "a:b, c:d"])
def test_a_setting_that_names_no_function_is_refused(text: str) -> None:
    with pytest.raises(InvalidSettingError, match="CHIPLAKE_FUNCTIONS"):
        Settings().replace(functions=text)
