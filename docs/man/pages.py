"""Manual pages of section 5 out of the documents in docs/, so that each thing is said once.

    pages.py NAME DOCUMENT [EXAMPLE] > PAGE

Knows the Markdown that the documents are written in: headings, paragraphs, lists, tables, code.  A
table becomes a list: its first column is the term, short columns are named in front of the rest.
"""

import re
import sys

ABOUT = {"postern.conf": "configuration of the Postern mail relay",
         "postern-policy": "the rules of the Postern mail relay, and its DNS lists"}
SYNOPSIS = {"postern.conf": "/etc/postern/postern.conf", "postern-policy": "postern policy import FILE"}
DOCUMENTS = "/usr/share/doc/postern"
MARK = re.compile(r"`([^`]+)`|\*\*(.+?)\*\*|\*([^*\s][^*]*)\*|\[([^\]]+)\]\(([^)]+)\)")


def plain(text):
    """What roff would read as its own, escaped."""
    return text.replace("\\", "\\e")


def literal(text):
    return plain(text).replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga").replace("^", "\\(ha").replace("~", "\\(ti")


def inline(text):
    """A paragraph's or cell's text with its marks."""
    out, at = [], 0
    for m in MARK.finditer(text):
        code, bold, slanted, title, target = m.groups()
        out.append(plain(text[at:m.start()]))
        if code:
            out.append(f"\\fB{literal(code)}\\fR")
        elif bold:
            out.append(f"\\fB{inline(bold)}\\fR")
        elif slanted:
            out.append(f"\\fI{plain(slanted)}\\fR")
        else:
            out.append(inline(title) if target in title or "/" not in target else f"{inline(title)} ({plain(target)})")
        at = m.end()
    return "".join(out + [plain(text[at:])])


def line(text):
    """One that roff takes for text."""
    return "\\&" + text if text[:1] in (".", "'") else text


def cells(row):
    return [c.strip().replace("\\|", "|") for c in re.split(r"(?<!\\)\|", row.strip().strip("|"))]


def table(rows):
    head, body = cells(rows[0]), [cells(row) for row in rows[2:]]
    prose = max(range(1, len(head)), key=lambda i: sum(len(row[i]) for row in body if i < len(row)))
    for row in body:
        yield from (".TP", line(inline(row[0])))
        named = [(head[i], row[i]) for i in range(1, len(row)) if i != prose and row[i]]
        said = "; ".join(inline(cell) if name in ("type", "") else f"{plain(name)}: {inline(cell)}" for name, cell in named)
        text = inline(row[prose]) if prose < len(row) else ""
        yield line(f"({said}) {text}".strip() if said else text or "\\&")


def code(lines):
    yield from (".PP", ".nf")
    yield from (line(literal(text)) for text in lines)
    yield ".fi"


def blocks(text):
    """(kind, lines) for each block."""
    lines, at = text.split("\n"), 0
    while at < len(lines):
        start = at
        if not lines[at]:
            at += 1
            continue
        if lines[at].startswith("```"):
            at = next(i for i in range(at + 1, len(lines)) if lines[i].startswith("```")) + 1
            yield "code", lines[start + 1:at - 1]
            continue
        for kind, shape in (("heading", r"#"), ("table", r"\|"), ("code", r"    "), ("item", r"- ")):
            if re.match(shape, lines[at]):
                break
        else:
            kind = "text"
        at += 1
        while at < len(lines) and lines[at] and kind != "heading":
            if kind in ("table", "code") and lines[at][:1] != lines[start][:1]:
                break
            if kind in ("text", "item") and re.match(r"[|#]|- |```", lines[at]):
                break
            at += 1
        yield kind, lines[start:at]


def page(name, document):
    yield f'.TH {name.upper()} 5 "" "Postern" "File Formats"'
    yield from (".SH NAME", f"{literal(name)} \\- {ABOUT[name]}", ".SH SYNOPSIS", f".B {literal(SYNOPSIS[name])}", ".SH DESCRIPTION")
    has_text = False  # since the last heading: no paragraph begins before it
    for kind, lines in blocks(document):
        if kind == "heading":
            depth, title = lines[0].split(" ", 1)
            if len(depth) > 1:
                yield (".SH " if len(depth) == 2 else ".SS ") + literal(title.upper() if len(depth) == 2 else title).replace('"', "\\(dq")
                has_text = False
            continue
        if kind == "table":
            yield from table(lines)
        elif kind == "code":
            yield from list(code([text[4:] if text.startswith("    ") else text for text in lines]))[0 if has_text else 1:]
        elif kind == "item":
            yield from (".IP \\(bu 2", line(inline(" ".join(text.strip() for text in lines)[2:])))
        else:
            if has_text:
                yield ".PP"
            yield line(inline(" ".join(text.strip() for text in lines)))
        has_text = True


def main():
    name, path, *example = sys.argv[1:]
    with open(path, encoding="utf-8") as f:
        lines = list(page(name, f.read()))
    for one in example:
        with open(one, encoding="utf-8") as f:
            lines += [".SH EXAMPLE", *list(code(f.read().rstrip("\n").split("\n")))[1:]]
    others = [f".BR {literal(other)} ({section})" for other, section in
              (("postern", 1), ("postern.conf", 5), ("postern-policy", 5)) if other != name]
    lines += [".SH SEE ALSO", *(other + "," for other in others), f"the other documents in {DOCUMENTS}"]
    sys.stdout.reconfigure(encoding="utf-8")
    print("\n".join(lines))


main()
