#!/bin/bash
# Makes docker/Dockerfile's image where no container engine runs: the same two scripts in chroots of Debian made with
# debootstrap, one with a compiler and one without, this machine's Node in the place of the base image's. Then it trains
# and predicts in the final one, as nobody in particular, without a network.
#   sudo scripts/try-image.sh [a packed tarball; default: packs this checkout]
# Needs root, debootstrap and 6 GB below TMPDIR. npm, pip and apt reach their registries there as they do here.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
suite="${SUITE:-bookworm}"
[ "$(id -u)" = 0 ] || { echo "try-image: needs root, for chroot" >&2; exit 3; }
command -v debootstrap >/dev/null || { echo "try-image: debootstrap is not installed (apt-get install debootstrap)" >&2; exit 3; }

work="$(mktemp -d)"
mounted=()
cleanup() {
  for ((i = ${#mounted[@]} - 1; i >= 0; i--)); do umount "${mounted[i]}"; done
  # Never into what is still mounted.
  rm -rf --one-file-system "$work"
}
trap cleanup EXIT
mount_at() { # options, source, target
  mkdir -p "$3"
  # shellcheck disable=SC2086
  mount $1 "$2" "$3"
  mounted+=("$3")
}
step() { printf '\n== %s\n' "$*"; }

tarball="${1:-}"
if [ -z "$tarball" ]; then
  step "packing this checkout"
  (cd "$root" && npm pack --silent --pack-destination "$work" >/dev/null)
  tarball="$(echo "$work"/*.tgz)"
fi

step "the base image: Debian $suite with Node $(node --version)"
debootstrap --variant=minbase --include=ca-certificates,libstdc++6 "$suite" "$work/build" >"$work/debootstrap.log" ||
  { tail -n 20 "$work/debootstrap.log" >&2; exit 1; }
npm="$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")"
install -D "$(readlink -f "$(command -v node)")" "$work/build/usr/local/bin/node"
mkdir -p "$work/build/usr/local/lib/node_modules"
cp -a "$npm" "$work/build/usr/local/lib/node_modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$work/build/usr/local/bin/npm"
ln -s ../lib/node_modules/npm/bin/npx-cli.js "$work/build/usr/local/bin/npx"
cp -a "$work/build" "$work/final"

step "the build stage"
in_build="$work/build"
# How this machine reaches its registries: names, certificates, and the settings of apt, npm and pip.
cp -L /etc/resolv.conf /etc/hosts "$in_build/etc/"
cp -L /etc/ssl/certs/ca-certificates.crt "$in_build/etc/ssl/certs/"
apt-config dump Acquire | grep '"[^"]\+";$' >"$in_build/etc/apt/apt.conf.d/99host" || true
for file in "$HOME/.npmrc" "$(npm config get globalconfig)"; do
  if [ -f "$file" ]; then cat "$file"; fi
done >"$in_build/root/.npmrc"
if command -v pip >/dev/null; then
  { echo "[global]"; pip config list | sed -n "s/^\(global\|user\|site\)\.\([a-z-]*\)='\(.*\)'$/\2 = \3/p"; } >"$in_build/etc/pip.conf"
  # Folders of wheels and the like that they name.
  pip config list | grep -oE "(file://)?/[^ ']+" | sed 's,^file://,,' | sort -u | while read -r each; do
    if [ -f "$each" ]; then install -D "$each" "$in_build$each"; elif [ -d "$each" ]; then echo "$each"; fi
  done >"$work/folders"
  while read -r each; do mount_at "--bind -o ro" "$each" "$in_build$each"; done <"$work/folders"
fi
mount_at "-t proc" proc "$in_build/proc"
mkdir -p "$in_build/context"
cp "$root"/docker/*.sh "$in_build/context/"
cp "$tarball" "$in_build/context/"
chroot "$in_build" /usr/bin/env HOME=/root PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin TMPDIR=/tmp LIBTORCH= \
  sh /context/build.sh "/context/$(basename "$tarball")"

step "the final image"
in_final="$work/final"
cp -a "$in_build/app" "$in_final/app"
cp "$root/docker/final.sh" "$in_final/app/final.sh"
mount_at "-t proc" proc "$in_final/proc"
mkdir "$in_final/data"
chown 1000:1000 "$in_final/data"
in_image() { # as user 1000, in a network of its own that leads nowhere
  unshare --net chroot --userspec=1000:1000 "$in_final" /usr/bin/env -i HOME=/data \
    PATH=/app/node_modules/.bin:/usr/local/bin:/usr/bin:/bin sh -c "cd /data && $1"
}
in_image "sh /app/final.sh"

step "training and predicting in it"
in_image "mnv2-torch train --quiet --epochs 1 --size 64 --out run"
in_image "echo '<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"64\" height=\"64\"><rect width=\"64\" height=\"64\" fill=\"teal\"/></svg>' >photo.svg"
in_image "mnv2-torch predict run photo.svg --json" | tee "$work/answer"
grep -q '"label"' "$work/answer"

step "it works: $(du -sh "$in_final/app" | cut -f1) in /app, $(du -sh -x --exclude=proc "$in_final" | cut -f1) in all"
