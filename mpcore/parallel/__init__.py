"""Cases measured on several ranks, each a process with a GPU of its own: `Launcher` starts them by torchrun and needs no torch
itself, and `python -m mpcore.parallel.worker` is one of them."""
