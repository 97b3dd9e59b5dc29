"""`python -m mpcore`"""

import sys

from mpcore.cli import main

sys.exit(main())
