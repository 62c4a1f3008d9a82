# ws-broadcast.tcl PORT: the broadcast server in the benchmarks. WebSocket connections for /room receive what comes
# as text on one for /control.

package require ws

proc event {channel event data} {
    switch $event {
        open {
            if {[dict get $data path] eq "/room"} {
                ws::subscribe $channel room
            }
        }
        text {
            ws::multicast room $data
        }
    }
}

# Receivers say nothing, and shall not be asked in the midst of it whether they are still there.
ws::listen -ping 0 [lindex $argv 0] event
puts ready
flush stdout
vwait forever
