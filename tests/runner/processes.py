"""Whether processes live."""

import time
from pathlib import Path


def alive(process_id):
    """Whether it runs: one that has ended and was not asked for does not."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(process_id, seconds=10.0):
    end = time.monotonic() + seconds
    while alive(process_id) and time.monotonic() < end:
        time.sleep(0.02)
    return not alive(process_id)
