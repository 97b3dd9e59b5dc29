"""The process in which cases are measured."""

from mpcore.runner.worker import main

main()
