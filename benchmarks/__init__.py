"""The suite: what pytest collects. In an installed package it is `mpcore.suite`: `pytest --pyargs mpcore.suite`."""
