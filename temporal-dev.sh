#!/bin/sh
# Brings up all of durable-alipay on this machine and shows what it does. Needs Node 20 and nothing else; --help says more.
set -eu
cd "$(dirname "$0")"

for argument; do
  case $argument in
    -h | --help)
      cat dev/help.txt
      exit
      ;;
  esac
done

if ! command -v node >/dev/null; then
  echo 'Node 20.19 or newer is required, but there is no node in PATH: https://nodejs.org/' >&2
  exit 1
fi
if ! node -e 'const [major, minor] = process.versions.node.split(".").map(Number); process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)'; then
  echo "Node 20.19 or newer is required; this is $(node --version): https://nodejs.org/" >&2
  exit 1
fi

# npm writes this file last: an installation that was interrupted is done again.
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo 'Installing the npm packages …'
  npm ci --no-progress
fi

exec node --import tsx dev/main.ts "$@"
