"""The defaults of the service's options, for its settings and for the command line.

They are apart from `Settings` because every command imports them to show its help, and a dataclass takes a millisecond.
"""

HOST = "127.0.0.1"  # this machine only
PORT = 8000
WORKERS = 1  # processes
MAX_BYTES = 8 * 2**20  # of one request: a photo of a phone has 2 to 6 MB
QUEUE = 64  # requests that wait for a thread, in each worker; a second or two of clean images
TIME_LIMIT_S = 10.0  # for a request to arrive, and again for its answer; a person waits no longer
