"""What somebody is told whose input is refused."""

import pytest


def one_sentence(error, function, *arguments, **options):
    """The message of the `error` that `function` raises, which is to be one line."""
    with pytest.raises(error) as caught:
        function(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message
