# Connects in the background, leaves a line to be sent, and waits for the reply only.
#     tclsh async-read.tcl HOST PORT
package require ns_connchan

# Called when data has come, or when the connection could not be made; a connection alone does not
# call it.
proc receive {channel reason} {
    if {[catch {ns_connchan read $channel} data]} {
        # A connection that failed says so here: channel "conn0" is not connected: connection refused
        set ::problem $data
        return 0
    }
    if {[string length $data] == 0} {
        set ::problem ""                        ;# the peer has closed
        return 0
    }
    puts -nonewline $data
    return 1
}

lassign $argv host port
if {$argc != 2} {
    puts stderr "usage: async-read.tcl HOST PORT"
    exit 2
}
fconfigure stdout -translation binary

if {[catch {
    set channel [ns_connchan connect -timeout 0 $host $port]
    # Kept, and sent without our doing as soon as there is a connection.
    ns_connchan write $channel "HELO\r\n"
} problem]} {
    puts stderr "async-read.tcl: $problem"
    exit 1
}
ns_connchan callback $channel [list receive $channel] r
vwait problem
if {$problem ne ""} {
    puts stderr "async-read.tcl: $problem"
    exit 1
}
