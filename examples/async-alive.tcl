# Tells which of several servers are alive: connects to all of them at once and looks at the channels
# from time to time, without an event loop and without a command that waits.
#     tclsh async-alive.tcl HOST PORT ?HOST PORT ...?
package require ns_connchan

if {$argc == 0 || $argc % 2} {
    puts stderr "usage: async-alive.tcl HOST PORT ?HOST PORT ...?"
    exit 2
}

set pending {}
foreach {host port} $argv {
    if {[catch {ns_connchan connect -timeout 0 $host $port} channel]} {
        puts "$host $port: $channel"            ;# the name has no address
    } else {
        lappend pending $channel "$host $port"
    }
}

# Each goes on by itself, in the background.
set deadline [expr {[clock milliseconds] + 10000}]
while {[llength $pending] && [clock milliseconds] < $deadline} {
    after 10                                    ;# something else, which takes time
    set still {}
    foreach {channel server} $pending {
        set status [ns_connchan status $channel]
        if {[dict get $status connecting]} {
            lappend still $channel $server
            continue
        }
        set error [dict get $status error]
        puts "$server: [expr {$error eq "" ? "alive" : $error}]"
        ns_connchan close $channel
    }
    set pending $still
}
foreach {channel server} $pending {
    puts "$server: no answer"
}
