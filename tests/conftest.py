"""What all tests need: an interrupt that interrupts. A shell that starts tests in the background has them ignore Ctrl-C, and
their processes with them; but many a test sends one.
"""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
