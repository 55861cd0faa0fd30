"""How many examples a property is tested with."""

from __future__ import annotations

from hypothesis import settings

THOROUGH = "thorough"  # the profile of `make test-all`
QUICK_SHARE = 8  # other profiles run one example in 8
FEWEST = 10

settings.register_profile(THOROUGH)


def examples(thorough: int) -> int:
    """Return the number of examples of a property.

    Args:
        thorough: the number under the profile `thorough`; other profiles take an eighth of it, at least 10.
    """
    if settings.get_current_profile_name() == THOROUGH:
        return thorough
    return max(FEWEST, thorough // QUICK_SHARE)
