#!/bin/sh
# Build both Dockerfiles and try the images, without a container engine: as root on Debian, where apt's and pip's
# registries can be reached. buildah builds in a chroot upon a stand-in for python:3.13-slim, which debootstrap makes.
#
# Then each runs as its own user on a root that can't be written to, without capabilities; a mail goes through both;
# SIGTERM ends both with 0. What this can't show: the base image's own contents, cgroups, the engine's networks.
#
# check.sh FOLDER: what is downloaded and built is kept there; delete it afterwards.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1/debs/partial" "$1/run"
cd "$1"
folder=$PWD
suite=trixie # whose Python is 3.13
tools=$folder/tools

say() { echo "images: $*"; }

if [ ! -e tools/usr/bin/buildah ]; then
    say "buildah and debootstrap, unpacked"
    get() {
        apt-get -y -qq --no-install-recommends --download-only -o Dir::Cache::archives="$folder/debs" \
            -o Debug::NoLocking=1 --reinstall install buildah crun debootstrap >apt.log 2>&1
    }
    get || { apt-get -qq update >>apt.log 2>&1; get; }
    for deb in debs/*.deb; do dpkg -x "$deb" tools; done
    echo '{"default":[{"type":"insecureAcceptAnything"}]}' >policy.json
    echo 'unqualified-search-registries = []' >registries.conf
    # buildah calls itself without our environment: its libraries are found by a cache that only it sees.
    { cat /etc/ld.so.conf; echo "$tools/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || gcc -print-multiarch)"; } >ld.so.conf
    (cd /etc && ldconfig -X -f "$folder/ld.so.conf" -C "$folder/ld.so.cache")
fi

buildah() {
    PATH=$tools/usr/bin:$PATH BUILDAH_ISOLATION=chroot TMPDIR=$folder/run unshare -m sh -c \
        'mount --bind "$1" /etc/ld.so.cache && shift && exec "$@"' sh "$folder/ld.so.cache" "$tools/usr/bin/buildah" \
        --root "$folder/store" --runroot "$folder/run" --storage-driver vfs --registries-conf "$folder/registries.conf" "$@"
}

if ! buildah images -q python:3.13-slim >/dev/null 2>&1; then
    say "a stand-in for python:3.13-slim"
    rm -rf base
    DEBOOTSTRAP_DIR=$tools/usr/share/debootstrap sh tools/usr/sbin/debootstrap --variant=minbase \
        --include=ca-certificates,python3,python3-pip "$suite" base >debootstrap.log
    rm -f base/usr/lib/python3*/EXTERNALLY-MANAGED base/var/cache/apt/archives/*.deb
    ln -s python3 base/usr/bin/python
    # This machine's way to a registry.
    cp /etc/ssl/certs/ca-certificates.crt base/etc/ssl/certs/
    { echo "[global]"; python3 -m pip config list | sed -n "s/^global\.\(index-url\|cert\|trusted-host\|proxy\)='\(.*\)'/\1 = \2/p"; } >base/etc/pip.conf
    container=$(buildah from --signature-policy policy.json scratch)
    buildah add -q "$container" base / >/dev/null
    buildah config --env PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    buildah commit -q --rm --signature-policy policy.json "$container" docker.io/library/python:3.13-slim >/dev/null
fi

build() { # IMAGE DOCKERFILE
    say "$2"
    buildah bud --signature-policy policy.json --pull-never --layers=false -t "$1" -f "$root/$2" "$root" >"$1.log" 2>&1 || {
        tail -20 "$1.log"
        exit 1
    }
}

start() { # IMAGE NAME=VALUE…: its entry point, as its user, in its folder, with its variables
    image=$1
    shift
    container=$(buildah from --pull-never "$image")
    what() { buildah inspect --format "{{range .OCIv1.Config.$1}}{{println .}}{{end}}" "$container"; }
    user=$(buildah inspect --format '{{.OCIv1.Config.User}}' "$container")
    words=$(what Env) entry=$(what Entrypoint) # no blanks in any of ours
    mounted=$(buildah mount "$container")
    # shellcheck disable=SC2016,SC2086 # another shell's variables; words to be split
    exec unshare -m sh -ec '
        mounted=$1 user=$2 data=$3
        shift 3
        mount --bind "$mounted" "$mounted"
        mount -t proc proc "$mounted/proc"
        mount -t tmpfs tmpfs "$mounted/tmp"
        mount --bind /dev "$mounted/dev"
        if [ -d "$mounted/var/lib/paravion" ]; then # the volume
            install -d -o "$user" -m 0700 "$data"
            mount --bind "$data" "$mounted/var/lib/paravion"
        fi
        mount -o remount,bind,ro "$mounted"
        exec chroot "$mounted" setpriv --reuid "$user" --regid "$user" --clear-groups --bounding-set=-all \
            --inh-caps=-all --no-new-privs env -i -C /opt/paravion "$@"' \
        sh "$mounted" "$user" "$folder/data" $words "$@" $entry
}

build door infra/front_door/Dockerfile
build local infra/local/Dockerfile

rm -rf data
say "run"
(start local PARAVION_API=127.0.0.1:28025 PARAVION_SMTP=127.0.0.1:22525 PARAVION_SMTPS=127.0.0.1:22465 \
    PARAVION_RELAY=inbox PARAVION_ACCESS_KEY=AKIAIMAGESIMAGES0000 PARAVION_SECRET_KEY=images >local.out 2>&1) &
engine=$!
(start door PARAVION_API=http://127.0.0.1:28025 PARAVION_SMTP=127.0.0.1:22526 PARAVION_SMTPS=127.0.0.1:22466 \
    PARAVION_HEALTH=127.0.0.1:28080 >door.out 2>&1) &
door=$!
trap 'kill $engine $door 2>/dev/null || true' EXIT

PYTHONPATH=$root/layers/paravion/python python3 - <<'PYTHON'
import re, smtplib, ssl, sys, time, urllib.request
from pathlib import Path

from paravion.domain.ses_smtp_password import smtp_password

end = time.monotonic() + 60
while not all(" ready " in Path(f"{name}.out").read_text() for name in ("local", "door")):
    assert time.monotonic() < end, "see local.out and door.out"
    time.sleep(0.2)
assert b'"ok"' in urllib.request.urlopen("http://127.0.0.1:28080/", timeout=5).read()
tls = ssl.create_default_context()
tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
with smtplib.SMTP("127.0.0.1", 22526, timeout=30) as client:
    client.starttls(context=tls)
    client.login("AKIAIMAGESIMAGES0000", smtp_password("images", "us-east-1"))
    assert client.sendmail("a@example.org", ["b@example.org"], "From: a@example.org\r\n\r\nhello\r\n") == {}
uids = []
for status in Path("/proc").glob("[0-9]*/status"):
    try:
        line, text = (status.parent / "cmdline").read_bytes(), status.read_text()
    except OSError:
        continue
    if b"infra.front_door" in line or b"paravion\0up" in line:
        uids += re.findall(r"^(?:Uid|CapEff):\s+(\S+)", text, re.MULTILINE)
print("images: a mail went through both, which run as", *sorted(set(uids)))
PYTHON

kill "$door"
wait "$door"
kill "$engine"
wait "$engine"
trap - EXIT
say "both ended with 0"
