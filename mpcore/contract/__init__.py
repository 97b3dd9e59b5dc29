"""What every precision mode keeps to with every workload: `pytest --pyargs mpcore.contract`.

Each test takes a workload at its tiny size and a mode, on the GPU where there is one. `--mp-load`, `--mp-workload` and
`--mp-precision` choose, so that a user's own are put to it; `--mp-data` and `--mp-device` are where they run:
`pytest --pyargs mpcore.contract --mp-load my_models.py --mp-workload mine`.
"""
