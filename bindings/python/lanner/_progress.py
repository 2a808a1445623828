"""Progress of a fit: a bar where tqdm is installed, lines on stderr elsewhere."""

from __future__ import annotations

import contextlib
import sys


_silent = contextlib.nullcontext()


def progress(title: str, verbose: bool):
    """Gives a callable (done in [0, 1], what), or None where nothing is to be shown."""
    return _shown(title) if verbose else _silent


@contextlib.contextmanager
def _shown(title: str):
    try:
        from tqdm.auto import tqdm
    except ImportError:
        yield _lines(title)
        return
    with tqdm(total=100, desc=title, unit="%", bar_format="{l_bar}{bar}| {elapsed} {postfix}") as bar:
        def tell(done: float, what: str) -> None:
            bar.set_postfix_str(what, refresh=False)
            bar.update(max(0, int(100 * done) - bar.n))

        yield tell


def _lines(title: str):
    shown = -1

    def tell(done: float, what: str) -> None:
        nonlocal shown
        tenth = int(10 * done)
        if tenth > shown:
            shown = tenth
            print(f"{title}: {10 * tenth} % ({what})", file=sys.stderr)

    return tell
