#!/bin/sh
# Installs bapsim from the folder that this file lies in, without a network: sh bundle/install.sh DIR
set -eu
target=${1:?usage: sh install.sh DIR    DIR is the virtual environment to make}
here=$(cd "$(dirname "$0")" && pwd)
(cd "$here" && sha256sum --check --quiet SHA256SUMS)
python=$(sh "$here/find_python.sh")
"$python" -m venv "$target"
pip="$target/bin/python -m pip --disable-pip-version-check --quiet --isolated"
$pip install --no-index --find-links "$here" --require-hashes --no-deps -r "$here/requirements.lock"
$pip install --no-index --no-deps "$here"/bapsim-*.whl
$pip check
"$target/bin/bapsim" --version
