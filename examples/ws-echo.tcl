# ws-echo.tcl -- a WebSocket echo server on 127.0.0.1: every message comes back as it was, text as
# text and bytes as bytes, compressed when the client offers that.
#
#   tclsh ws-echo.tcl PORT

package require ws

proc echo {channel event data} {
    if {$event eq "text"} {
        ws::send $channel $data
    } elseif {$event eq "binary"} {
        ws::send -binary $channel $data
    }
}

ws::listen [lindex $argv 0] echo
puts ready
flush stdout
vwait forever
