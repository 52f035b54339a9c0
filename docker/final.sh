#!/bin/sh
# The final stage of an image: looks at what came from the build stage, as whoever will run it. Changes nothing.
set -eu
for tool in c++ g++ gcc cc clang cmake make; do
  if command -v "$tool" >/dev/null; then
    echo "the final image has a compiler: $(command -v "$tool")" >&2
    exit 1
  fi
done
mnv2-torch --version
mnv2-torch doctor
