"""One of several workers, as `bapsim serve --workers` starts it: its setting as JSON on the command line."""

from __future__ import annotations

import json
import socket
import sys

from bapsim.core.errors import BapsimError
from bapsim.serve.running import Setting, work

if __name__ == "__main__":
    said = json.loads(sys.argv[1])
    try:
        work(Setting(**said["setting"]), socket.socket(fileno=said["socket"]), said["parent"])
    except BapsimError as why:
        print(why, file=sys.stderr)
        sys.exit(2)
