"""What nothing can be measured without, whatever device is asked for. Nobody needs torch to ask."""

import sys
import tempfile


def on_windows() -> str | None:
    """Why nothing is measured, and no baseline made, on this operating system; or None."""
    if sys.platform == "win32":
        return "nothing is measured on Windows: expected Linux, as in WSL2 (Windows Subsystem for Linux)"
    return None


def unusable() -> str | None:
    """Why nothing can be measured here, or None. Libraries ask for a folder of temporary files as soon as torch loads them."""
    if reason := on_windows():
        return reason
    try:
        tempfile.gettempdir()  # which writes to what it finds
    except OSError as error:
        return f"{error.strerror}: expected a folder that can be written to, which TMPDIR may name"
    return None
