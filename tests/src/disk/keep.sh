# Waits until the test is gone, however it ends, and puts away what it has made in its folder: $1.
trap '' INT TERM HUP
cat >/dev/null
# A broker on it that nobody has ended. The pattern does not find itself.
for broker in $(grep -ls "$1[/]root" /proc/[0-9]*/cmdline); do
    kill -9 "$(basename "$(dirname "$broker")")"
done
while mountpoint -q "$1/root"; do
    umount "$1/root" 2>/dev/null || umount -l "$1/root" || exit 1
done
if [ -f "$1/device" ]; then
    losetup -d "$(cat "$1/device")"
fi
if [ -f "$1/daemon" ]; then
    daemon=$(cat "$1/daemon")
    kill "$daemon" 2>/dev/null
    while kill -0 "$daemon" 2>/dev/null; do sleep 0.05; done
    umount -l "$1/exported" 2>/dev/null
fi
rm -rf "$1"
