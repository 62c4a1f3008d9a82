# ws-client.tcl -- talks to a WebSocket server: sends each line of standard input as a text message
# and shows what comes.
#
#   tclsh ws-client.tcl URL

package require ws

proc heard {channel event data} {
    switch $event {
        open {
            puts "connected to $::url"
            fileevent stdin readable [list typed $channel]
        }
        text - binary {puts "< $data"}
        close {
            lassign $data code reason
            puts "closed: $code $reason"
            exit [expr {$code != 1000}]
        }
    }
    flush stdout
}

proc typed {channel} {
    if {[gets stdin line] >= 0} {
        ws::client::send $channel $line
    } elseif {[eof stdin]} {
        fileevent stdin readable {}
        ws::client::close $channel
    }
}

set url [lindex $argv 0]
ws::client::open -callback heard $url
vwait forever
