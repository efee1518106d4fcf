"""How figures of several rounds are told."""

import statistics


def spread(values, digits):
    """The median, and in brackets the lowest and highest where there are several."""
    form = f"{{:,.{digits}f}}"
    low, middle, high = (form.format(f(values)) for f in (min, statistics.median, max))
    return f"{middle} ({low}-{high})" if len(values) > 1 else middle
