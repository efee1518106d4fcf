"""Tests that fail beside others and pass alone: what is forgiven, and what never is.

Timing never decides a test.  Side by side on a small machine one test can starve another, and one in thousands fails for
nothing that is wrong with Postern.  So whatever failed side by side is run again at the end, with the machine to itself,
TIMES times in a row.  Passing each time it counts as passed, and is named with the whole text of its failure where nobody
overlooks it: it is a bug of the test, and due.  Failing once more it has failed.  What no machine can be too slow for is
never repeated: a sanitizer's report, a process that a signal of its own making ended, a runner that did not come to its
end, and mail that was lost, doubled or changed, for which any failed line that looks at what a gateway kept, or at the
bytes of a message, is taken.  More than MOST of them are no bad luck: all have failed, and none is repeated.
"""

import re

TIMES, MOST = 3, 5
TITLE = f"unsteady: failed once side by side, passed {TIMES} times alone"
FINAL = re.compile(
    r"(Address|Leak|Thread|Memory|UndefinedBehavior)Sanitizer|runtime error:|must failed|malloc\w*\(\): |free\(\): |corrupted "
    r"|SIG(ILL|TRAP|ABRT|BUS|FPE|SEGV|SYS)\b|Segmentation fault|Bad system call|Aborted|Test failed with exception"
    r'|"signal":(4|5|6|7|8|11|31)\b|status (-(4|5|6|7|8|11|31)|13[2-69]|159)\b'
    r"|\b(kept|copies|lost|twice|doubled|ledger)\b|the gateway has|\bassert\w*\(.*\.(bytes|body)\b"
    r"|its process: |still running after ")


def is_final(text):
    """Whether a failure with this text is one that is never repeated away."""
    return FINAL.search(text) is not None


def settle(failures, passes_alone):
    """Runs again what may be: of `failures`, {what: text}, the set of those that are forgiven.

    passes_alone(what, number) runs it once by itself, for the number-th time."""
    repeated = [what for what, text in failures.items() if not is_final(text)]
    if len(repeated) > MOST:
        return set()
    return {what for what in repeated if all(passes_alone(what, number) for number in range(1, TIMES + 1))}


def block(unsteady):
    """The text that names `unsteady`, [(name, text of its failure), …]; empty for none."""
    if not unsteady:
        return ""
    return f"\n{'=' * 72}\n{TITLE}\n" + "".join(f"\n--- {name}\n{text.rstrip()}\n" for name, text in unsteady) + f"{'=' * 72}\n"
