#!/bin/sh
# The build stage of an image: everything that needs a compiler, a package manager or a network. Leaves /app, which
# needs none of them. Runs as root on Debian with Node; scripts/try-image.sh runs the same file where no engine is.
#   sh build.sh [what npm is to install; default: mnv2-torch]
# LIBTORCH names a libtorch below /app where there is one already (the CUDA image); else set-up gets one with pip.
set -eu
package="${1:-mnv2-torch}"

apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends g++ make cmake python3 python3-pip

mkdir -p /app
cd /app
[ -f package.json ] || npm init -y >/dev/null
npm install --omit=dev "$package"
# libtorch comes to lie below /app, where the addon's link leads in the final image too.
XDG_CACHE_HOME=/app/.cache npx mnv2-torch setup
npx mnv2-torch doctor

# Headers and static libraries are of use to compilers alone.
find /app/.cache /app/libtorch -type d -name include -prune -exec rm -rf {} + 2>/dev/null || true
find /app/.cache /app/libtorch -type f -name '*.a' -delete 2>/dev/null || true
