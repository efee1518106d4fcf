"""Text in columns, wrapped inside its column."""

import textwrap


def table(head, rows, widths):
    """`rows` of texts under `head`; a text longer than its column goes on in the next line."""
    rule = "-+-".join("-" * w for w in widths)
    lines = [_line(head, widths), rule]
    for row in rows:
        cells = [textwrap.wrap(text, width, break_on_hyphens=False) or [""] for text, width in zip(row, widths)]
        for i in range(max(len(c) for c in cells)):
            lines.append(_line([c[i] if i < len(c) else "" for c in cells], widths))
        lines.append(rule)
    return "\n".join(lines)


def _line(texts, widths):
    return " | ".join(text.ljust(width) for text, width in zip(texts, widths)).rstrip()
