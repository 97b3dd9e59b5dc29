"""Do ranks that train together stay together? Replicas are equal bit for bit, and so are loss scales and skipped steps. What is
sent is counted. The gradient that they average is the one of a single rank with the batch of all.

Run where a step is spread over several GPUs: `--mp-gpus 2`.
"""

import pytest

pytestmark = pytest.mark.parallel


def test_parallel(case, measure, judge):
    judge(measure.parallel(case))
