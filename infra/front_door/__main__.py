"""`python -m infra.front_door`."""

import sys

from infra.front_door.command import main

sys.exit(main())
