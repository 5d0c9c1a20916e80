"""One file per command: parse, call, print, exit code."""

import gc

# A start makes ten thousands of objects that all stay, the first of them while the commands are imported. To
# look for cycles among them is a twentieth of it, and more at the end, where the whole process goes anyway.
# The plans and reports of a fleet stay too, and refer to each other in no circle.
gc.set_threshold(50_000)
