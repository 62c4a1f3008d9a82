# An echo server on 127.0.0.1: tclsh echo.tcl PORT
package require ns_connchan

proc accept {channel} {
    ns_connchan callback $channel [list echo $channel] r
    return 1                                    ;# keep the connection
}

proc echo {channel reason} {
    # A peer may go by closing (no data) or by a reset (an error).
    if {[catch {ns_connchan read $channel} data]} {return 0}
    set length [string length $data]
    if {$length == 0} {return 0}
    if {[ns_connchan write $channel $data] < $length} {
        # The peer reads slowly. What it did not take yet is kept: read no
        # more from it until that has gone out.
        ns_connchan callback $channel [list drain $channel] w
    }
    return 1                                    ;# call again
}

proc drain {channel reason} {
    ns_connchan write $channel ""
    if {[dict get [ns_connchan status $channel] sendbuffer] == 0} {
        ns_connchan callback $channel [list echo $channel] r
    }
    return 1
}

ns_connchan listen -bind 127.0.0.1 [lindex $argv 0] accept
puts ready
flush stdout
vwait forever
