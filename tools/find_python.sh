#!/bin/sh
# Prints the first Python that bapsim runs on; PYTHON=... names one. A name on PATH is not enough: it must start.
for python in ${PYTHON:-python3.11 python3.12 python3.13 python3 python}; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        command -v "$python"
        exit 0
    fi
done
echo "bapsim needs Python 3.11 or later, and none of these starts or is new enough:" \
    "${PYTHON:-python3.11, python3.12, python3.13, python3, python}." >&2
echo "Install Python 3.11 with pip, or say where it is: make PYTHON=/path/to/python3.11 ..." >&2
exit 1
