"""The end of a session: what was measured is written and shown, whatever happens meanwhile."""

from collections.abc import Iterator

import pytest

from mpcore.plugin.outcome import outcome_of
from mpcore.plugin.session import SESSION, Session
from mpcore.plugin.writable import UNWRITTEN
from mpcore.signals import put_off

INTERRUPTED = pytest.StashKey[str]()
"""What is said of a Ctrl-C that came while they were written."""


class ShownWhateverHappens:
    """A plugin that stands between pytest's summary and who writes files. It is to be registered as pytest is configured: after
    those of other distributions, before the terminal's reporter."""

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Iterator[None]:
        if finished(session.config, exitstatus) is None:
            return (yield)
        _ = outcome_of(session.config).run  # where it has to measure, Ctrl-C is heeded
        try:
            with put_off():
                return (yield)
        except OSError as error:  # as of a disk that became full
            session.config.stash[UNWRITTEN] = f"the results could not be written: {error.strerror}"
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        except KeyboardInterrupt:
            session.config.stash[INTERRUPTED] = "Ctrl-C came while the results were written: they are whole"
            session.exitstatus = pytest.ExitCode.INTERRUPTED
        return None


def finished(config: pytest.Config, exitstatus: int) -> Session | None:
    """None where there is nothing to tell: without cases, where they were only collected, and where they were refused."""
    current = config.stash.get(SESSION, None)
    refused = exitstatus == pytest.ExitCode.USAGE_ERROR
    return None if current is None or not current.tests or refused else current
