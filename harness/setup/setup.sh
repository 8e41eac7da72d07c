#!/usr/bin/env bash
# Brings a Debian 12 or Ubuntu machine to the point where CMake can configure: the missing system packages (apt, with
# sudo when not root) and a .venv with the pinned torch wheel, used only for its libtorch. Idempotent and quick when
# nothing is missing. Torch_DIR (a folder with TorchConfig.cmake) or LIBTORCH (an unpacked libtorch) replace the wheel.
set -euo pipefail
cd "$(dirname "$0")/../.."
torch_version=2.13.0

missing=$(comm -23 <(sort harness/setup/debian-packages.txt) \
  <(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 2>/dev/null | sed -n 's/^ii  *//p' | sort -u))
if [ -n "$missing" ]; then
  echo "setup: installing" $missing >&2
  sudo=""
  if [ "$(id -u)" -ne 0 ]; then sudo="sudo"; fi
  $sudo apt-get update -q >&2
  # shellcheck disable=SC2086  # the list is meant to be split
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >&2
fi

if [ -n "${Torch_DIR:-}" ] || [ -n "${LIBTORCH:-}" ]; then exit 0; fi
stamp=.venv/.dlmbench-torch-$torch_version
if [ ! -e "$stamp" ]; then
  echo "setup: installing torch $torch_version into .venv" >&2
  [ -x .venv/bin/pip ] || python3 -m venv .venv
  # The CPU build where the index carries it, else the default wheel with what it needs.
  .venv/bin/pip install -q --no-deps "torch==$torch_version+cpu" >/dev/null 2>&1 ||
    .venv/bin/pip install -q "torch==$torch_version" >&2
  touch "$stamp"
fi
