"""What all tests need: an interrupt that interrupts, and no test of how long an example of hypothesis takes (machines are busy).

A shell that starts tests in the background has them ignore Ctrl-C, and their processes with them; but many a test sends one.
"""

import signal

from hypothesis import settings

signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
