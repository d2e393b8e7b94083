#!/bin/sh
# Prints the path of a Chromium that starts: on PATH (or named by BAPSIM_CHROMIUM), from the system's package manager
# when root, or Playwright's own. Prints nothing, and says why on standard error, where none can be had: then the
# stories that need one are counted as not run.
starts() { "$1" --headless --no-sandbox --disable-gpu --version > /dev/null 2>&1; }
found() {
    for name in "${BAPSIM_CHROMIUM:-}" chromium chromium-browser google-chrome; do
        [ -n "$name" ] || continue
        path=$(command -v "$name") && starts "$path" && echo "$path" && return 0
    done
    for path in "${PLAYWRIGHT_BROWSERS_PATH:-$HOME/.cache/ms-playwright}"/chromium-*/chrome-linux*/chrome; do
        [ -x "$path" ] && starts "$path" && echo "$path" && return 0
    done
    return 1
}
found && exit 0
[ "${1:-}" = install ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    echo "no Chromium: installing the system's" >&2
    (apt-get install -y -qq chromium || { apt-get update -qq && apt-get install -y -qq chromium; }) > /dev/null 2>&1
    found && exit 0
fi
if [ -n "${2:-}" ]; then
    echo "no Chromium: asking Playwright for its own" >&2
    timeout 300 "$2" -m playwright install chromium > /dev/null 2>&1
    found && exit 0
fi
echo "no Chromium can be had: stories in the browser will be counted as not run" >&2
