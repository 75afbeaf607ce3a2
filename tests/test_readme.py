"""The Python examples of README.md run, in a folder of their own."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("code", EXAMPLES, ids=lambda code: code.splitlines()[-1][:40])
def test_example(code, tmp_path, monkeypatch):
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    monkeypatch.chdir(tmp_path)
    assert "assert " in code
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


def test_examples_are_found_and_short():
    assert EXAMPLES
    assert max(len(code.splitlines()) for code in EXAMPLES) <= 12
