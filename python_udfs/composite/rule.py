"""The rule by which composites are made."""

from __future__ import annotations

from typing import Literal

from python_udfs.validity_rule import ValidityRule


class CompositeRule(ValidityRule):
    """The parameters of a composite, as column `rule_version` of int_composite_inputs holds them in JSON."""

    method: Literal["median-v1", "medoid-v1"]
