"""The site names what there is."""

import re
from pathlib import Path

import pytest

import skrbm.metrics
import skrbm.onnx
import skrbm.plotting

API = Path(__file__).parents[1] / "docs" / "api.md"


@pytest.mark.parametrize(
    "module", [skrbm, skrbm.metrics, skrbm.onnx, skrbm.plotting], ids=str
)
def test_the_api_page_lists_every_public_name_and_no_other(module):
    tables = re.findall(
        rf"currentmodule:: {module.__name__}\n(.*?)```", API.read_text(), re.DOTALL
    )
    listed = re.findall(r"^   (\w+)$", "\n".join(tables), re.MULTILINE)
    assert sorted(listed) == sorted(set(module.__all__) - {"__version__"})
