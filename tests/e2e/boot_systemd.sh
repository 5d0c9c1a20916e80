#!/bin/sh
# Boots a real systemd in a throw-away host: PID 1 of namespaces inside the host's, with a part of the cgroup tree of its own.
# Arguments: the name of that part of the tree, and (for itself) the stage. The files of the host are the host's.
set -eu
name=$1 stage=${2:-start} units=/opt/units
case $stage in
  start)
    # From here on sshd is a service.
    kill "$(cat /run/sshd.pid)"
    rm -f /run/sshd.pid
    setsid unshare --mount --propagation private /bin/sh "$0" "$name" cgroup >>/run/systemd.log 2>&1 </dev/null &
    for try in $(seq 600); do
      pid=$(pgrep -o -x systemd) && nsenter -t "$pid" -m -p -C -- systemctl is-active --quiet multi-user.target && exit 0
      sleep 0.1
    done
    exit 1
    ;;
  cgroup)
    mount -t cgroup2 none /sys/fs/cgroup
    mkdir -p "/sys/fs/cgroup/$name"
    echo 0 >"/sys/fs/cgroup/$name/cgroup.procs"
    umount /sys/fs/cgroup
    exec unshare --cgroup --pid --fork --kill-child --mount-proc /bin/sh "$0" "$name" init
    ;;
esac

mount -t cgroup2 none /sys/fs/cgroup
# The kernel is the machine's: nothing of it but this host's network may be set.
[ ! -e /proc/sysrq-trigger ] || mount --bind /dev/null /proc/sysrq-trigger
mount --bind /proc/sys /proc/sys
mount --bind /proc/sys/net /proc/sys/net
mount -o remount,bind,ro /proc/sys
if [ ! -e "$units" ]; then
  # Units that are about the machine (udev, modules, kernel settings, its own services) are not there at all.
  rm -rf /etc/systemd/system
  mkdir -p "$units" /etc/systemd/system/multi-user.target.wants
  for unit in sysinit basic multi-user shutdown reboot umount final local-fs local-fs-pre sockets timers paths slices network \
    network-pre swap; do
    cp "/usr/lib/systemd/system/$unit.target" "$units"
  done
  cp /usr/lib/systemd/system/systemd-reboot.service "$units"
  printf '[Service]\nExecStart=/usr/sbin/sshd -D\nKillMode=process\n' >"$units/sshd.service"
  ln -s "$units/sshd.service" /etc/systemd/system/multi-user.target.wants/
  for unit in /opt/site-units/*.service; do
    cp "$unit" "$units"
    ln -s "$units/${unit##*/}" /etc/systemd/system/multi-user.target.wants/
  done
fi
rm -rf /run/systemd
exec env -i container=lab PATH="$PATH" SYSTEMD_UNIT_PATH="/etc/systemd/system:/run/systemd/transient:/run/systemd/control:$units" \
  /lib/systemd/systemd --unit=multi-user.target --log-target=console --log-level=info --show-status=no
