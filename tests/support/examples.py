"""How many examples a property is tested with."""

from __future__ import annotations

from hypothesis import settings

THOROUGH = "thorough"  # the profile of `make test-all`
QUICK_SHARE = 8  # without it, one example in so many
FEWEST = 10

settings.register_profile(THOROUGH)


def examples(thorough: int) -> int:
    """Return the number of examples of a property.

    Args:
        thorough: the number under the profile `thorough`; otherwise an eighth of it is enough.
    """
    if settings.get_current_profile_name() == THOROUGH:
        return thorough
    return max(FEWEST, thorough // QUICK_SHARE)
