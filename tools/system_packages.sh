#!/usr/bin/env bash
# Installs what Python wheels cannot bring, by the names of Debian packages, as far as that is possible without
# asking; otherwise says what to type. Never fails: whoever really cannot do without a package says so itself.
set -u
python=${PYTHON:-python3}

present() {
  case $1 in
    g++) command -v g++ ;;
    python3-venv) "$python" -c 'import ensurepip' ;;
    python3-dev) "$python" -c 'import os, sysconfig as s; open(os.path.join(s.get_path("include"), "Python.h"))' ;;
    libosmesa6) "$python" -c 'import ctypes.util as u; exit(not u.find_library("OSMesa"))' ;;
    libgtest-dev) ls /usr/include/gtest/gtest.h /usr/local/include/gtest/gtest.h | grep -q . ;;
    *) dpkg-query -W "$1" ;;
  esac >/dev/null 2>&1
}

missing=()
for package in "$@"; do
  present "$package" || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
install() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}"; }

if command -v apt-get >/dev/null && "${as_root[@]}" true 2>/dev/null; then
  echo "installing ${missing[*]}"
  install >/dev/null 2>&1 && exit 0
  "${as_root[@]}" apt-get update -qq >/dev/null 2>&1
  install >/dev/null && exit 0
fi
echo "note: please install by hand:  sudo apt-get install -y ${missing[*]}" >&2
exit 0
