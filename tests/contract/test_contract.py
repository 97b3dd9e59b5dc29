"""The contract holds for every mode and workload of the project."""

from mpcore.contract.conftest import *  # noqa: F403
from mpcore.contract.test_dtypes import *  # noqa: F403
from mpcore.contract.test_evaluation import *  # noqa: F403
from mpcore.contract.test_gradients import *  # noqa: F403
from mpcore.contract.test_graphs import *  # noqa: F403
from mpcore.contract.test_scaling import *  # noqa: F403
from mpcore.contract.test_settings import *  # noqa: F403
from mpcore.contract.test_state import *  # noqa: F403
