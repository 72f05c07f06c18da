#!/usr/bin/env bash
# Process 1 of a host: DISK NAME SHARED VENV METADATA. Its network, mount, process and host name spaces are its
# own; its disk is a copy on write of this machine's, its home and its Ray are empty.
set -eu
disk=$1 name=$2 shared=$3 venv=$4 metadata=$5
root=$disk/root home=/home/node
mount -t overlay "$name" -o "lowerdir=/,upperdir=$disk/upper,workdir=$disk/work" "$root"
mount -t tmpfs -o mode=755 dev "$root/dev"
for device in null zero full random urandom tty; do
  : > "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 run "$root/run"
mkdir -p "$root/run/sshd" "$root/tmp/ray" "$root/shared" "$root$home/venv"
mount -t tmpfs ray "$root/tmp/ray"
mount --bind "$shared" "$root/shared"
mount -t overlay "$name" -o "lowerdir=$venv,upperdir=$disk/venv,workdir=$disk/venv-work" \
  "$root$home/venv"
for script in ray pip; do  # what pip writes names the environment that it was written for
  sed -i "1s|^#!.*|#!$home/venv/bin/python|" "$root$home/venv/bin/$script"
done
mkdir -p "$root/old"
cd "$root"
pivot_root . old
cd /
umount -l /old
hostname "$name"
# A cloud's machine can ask whether it will be taken away; here it will when there is the file.
ip address replace 169.254.169.254/32 dev lo
"$home/venv/bin/python" "$metadata" 169.254.169.254 80 amazon /run/notice &
/usr/sbin/sshd -D -e -f /etc/ssh/sshd_config &
# A reaper: `ray stop` waits for processes that have ended but are not reaped.
while :; do wait -n 2>/dev/null || sleep 0.5; done
