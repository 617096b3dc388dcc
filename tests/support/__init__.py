"""What several test modules share: data, hosts, servers, a browser, and the command line as a function.

Whatever imports it first gets the environment that all tests run in.
"""

import os

# Output is as wide as in a pipe, whatever the terminal is.
os.environ.pop("COLUMNS", None)
# A second thread of the linear algebra mostly waits where the cores have other tests to run, and waits so eagerly that
# a refit takes four times the processor's time.
os.environ.setdefault("OMP_NUM_THREADS", "1")
