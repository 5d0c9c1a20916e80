#!/bin/sh
# Boots a real sysvinit or OpenRC in a throw-away host: PID 1 of namespaces inside the host's. The files of the host are
# the host's. Arguments: `sysvinit`, `openrc` (its own init and its own kind of services, as on Alpine and Gentoo) or
# `openrc-lsb` (below sysvinit's init with Debian's services), and (for itself) the stage.
set -eu
which=$1 stage=${2:-start}

if [ "$stage" = start ]; then
  # From here on sshd is a service.
  kill "$(cat /run/sshd.pid)"
  rm -f /run/sshd.pid
  setsid unshare --mount --propagation private --pid --fork --kill-child --mount-proc /bin/sh "$0" "$which" init \
    >>/root/init.log 2>&1 </dev/null &
  for try in $(seq 1200); do
    if [ -e /run/booted ] && [ -s /run/sshd.pid ] && ! pgrep -x openrc >/dev/null; then
      pgrep -P $! >/run/init.pid
      exit
    fi
    kill -0 $!
    sleep 0.05
  done
  exit 1
fi

# Write a script of the site, $1, from standard input.
service() { cat >"/etc/init.d/$1"; chmod 755 "/etc/init.d/$1"; }

set_up() {
  # Services of this machine are not there at all.
  mv /etc/init.d/ssh /tmp/ssh
  rm -rf /etc/init.d /etc/rc?.d /etc/systemd
  base64 -d <"/opt/${which%-*}.tar.gz" | tar -xz --keep-directory-symlink -C /
  ldconfig
  mv /tmp/ssh /etc/init.d/ssh
  : >/etc/fstab
  # What would be about the machine: its clock, its screen, its random numbers.
  (cd /etc/init.d && rm -f README agetty brightness cgroups mount-configfs savecache urandom)
  if [ "$which" = openrc ]; then
    rm /etc/init.d/*.sh /etc/init.d/netfilter-persistent
    ln -sf openrc-init /sbin/init
    printf '#!/sbin/openrc-run\nstart() { :; }\n' | service localmount
    # Its stop takes its rules away, its reload loads the whole file again.
    service iptables <<'END'
#!/sbin/openrc-run
extra_started_commands=reload
depend() { need localmount; before net; }
start() { iptables-restore </etc/iptables/rules.v4 && ip6tables-restore </etc/iptables/rules.v6; }
reload() { start; }
stop() { for tool in iptables ip6tables; do "$tool" -P INPUT ACCEPT; "$tool" -F; "$tool" -X; done; }
END
    rc-update add localmount boot
    rc-update add iptables boot
    rc-update add ssh default
  else
    printf '%s\n' id:2:initdefault: si::sysinit:/etc/init.d/rcS >/etc/inittab
    for level in 0 1 2 3 4 5 6; do echo "l$level:$level:wait:/etc/init.d/rc $level" >>/etc/inittab; done
    # A firewall that a runlevel starts, as late as it can; netfilter-persistent comes before any runlevel.
    service iptables <<'END'
#!/bin/sh
### BEGIN INIT INFO
# Provides: iptables
# Required-Start: $remote_fs ssh
# Required-Stop:
# Default-Start: 2 3 4 5
# Default-Stop:
### END INIT INFO
iptables-restore </etc/iptables/rules.v4 && ip6tables-restore </etc/iptables/rules.v6
END
    for service in /etc/init.d/*; do
      case $service in */rc | */rcS) ;; *) update-rc.d "${service##*/}" defaults ;; esac
    done
  fi
  # The last thing of a boot.
  if [ "$which" = sysvinit ]; then
    printf '#!/bin/sh\ntouch /run/booted\n' >/etc/rc.local
    chmod 755 /etc/rc.local
  else
    service booted <<'END'
#!/sbin/openrc-run
depend() { after "*"; }
start() { touch /run/booted; }
END
    rc-update add booted default
  fi
}

# The lab reads the log only once a boot has ended; who says more until then would wait for it.
mount --bind /dev/null /dev/log
# The kernel is the machine's: nothing of it but this host's network may be set.
[ ! -e /proc/sysrq-trigger ] || mount --bind /dev/null /proc/sysrq-trigger
mount --bind /proc/sys /proc/sys
mount --bind /proc/sys/net /proc/sys/net
mount -o remount,bind,ro /proc/sys
[ -e /sbin/insserv ] || set_up
exec env -i PATH=/sbin:/usr/sbin:/bin:/usr/bin TERM=dumb /sbin/init
