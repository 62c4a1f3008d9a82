# namespace.tcl -- runs a suite in a network of its own, where its names have the addresses that it
# likes. To be sourced first, before common.tcl.
#
# The network has the hosts 10.8.0.1 to 10.8.0.99 and fd08::1 to fd08::9 besides localhost, all of them
# this machine, and no other machine. /etc/hosts and /etc/resolv.conf are files of the suite
# ($namespaceFolder/hosts), so they can be written at any time.
#
# That takes root and a kernel that permits it. Where it does not work, the constraint "namespace" is
# false and says nothing more: every test is then skipped.

set namespaceSet {
    ip link set lo up &&
    for i in $(seq 1 99); do ip addr add 10.8.0.$i/32 dev lo || exit; done &&
    for i in 1 2 3 4 5 6 7 8 9; do ip -6 addr add fd08::$i/128 dev lo nodad || exit; done &&
    ip route add prohibit 10.9.1.1 && ip route add unreachable 10.9.2.1 &&
    mount --bind "$NS_CONNCHAN_TEST_NET/hosts" /etc/hosts &&
    mount --bind "$NS_CONNCHAN_TEST_NET/resolv.conf" /etc/resolv.conf &&
    exec "$@"
}

proc namespaceFile {name text} {
    set file [open [file join $::namespaceFolder $name] w]
    puts -nonewline $file $text
    close $file
}

if {[info exists env(NS_CONNCHAN_TEST_NET)]} {
    set namespaceFolder $env(NS_CONNCHAN_TEST_NET)
} else {
    close [file tempfile namespaceFolder ns_connchan-net]
    file delete $namespaceFolder
    file mkdir $namespaceFolder
    namespaceFile hosts "127.0.0.1 localhost\n::1 localhost\n"
    namespaceFile resolv.conf "nameserver 127.0.0.1\noptions timeout:30 attempts:1\n"
    set env(NS_CONNCHAN_TEST_NET) $namespaceFolder
    set namespaceCommand [list unshare --net --mount sh -c $namespaceSet sh]
    set namespaceStatus 0
    if {![catch {exec {*}$namespaceCommand true 2> /dev/null}]} {
        # The suite runs in there, in another process; this one only waits for it
        try {
            exec -ignorestderr {*}$namespaceCommand [info nameofexecutable] \
                [file normalize $argv0] {*}$argv >@ stdout 2>@ stderr
        } trap CHILDSTATUS {- options} {
            set namespaceStatus [lindex [dict get $options -errorcode] 2]
        }
        file delete -force $namespaceFolder
        exit $namespaceStatus
    }
    unset env(NS_CONNCHAN_TEST_NET)
    file delete -force $namespaceFolder
}
