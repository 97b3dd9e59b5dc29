"""Do ranks that train together stay together? Replicas are equal bit for bit, loss scales and skipped steps are, what is sent
is counted, and the gradient that they average is that of one rank with the batch of all.

Run where a step is spread over several GPUs: `--mp-gpus 2`.
"""

import pytest

pytestmark = pytest.mark.parallel


def test_parallel(case, measure, judge):
    judge(measure.parallel(case))
