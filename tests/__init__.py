"""Settings of libraries that read them when they are imported."""

import os

from headgate.runtime.rpc import tls_version

os.environ.setdefault(tls_version.VARIABLE, tls_version.NONE_OF_TLS_1_2)
