# Starts to connect, does something else, and then talks in plain sequence, without an event loop.
#     tclsh async-blocking.tcl HOST PORT
package require ns_connchan

lassign $argv host port
if {$argc != 2} {
    puts stderr "usage: async-blocking.tcl HOST PORT"
    exit 2
}
fconfigure stdout -translation binary

# Ends the program when the connection could not be made. While it is still being made there is no
# error.
proc check {channel} {
    set error [dict get [ns_connchan status $channel] error]
    if {$error ne ""} {
        puts stderr "async-blocking.tcl: $error"
        exit 1
    }
}

if {[catch {ns_connchan connect -timeout 0 $host $port} channel]} {
    puts stderr "async-blocking.tcl: $channel"
    exit 1
}
for {set sum 0; set i 0} {$i < 100000} {incr i} {
    incr sum $i                                 ;# something else, which takes time
}
check $channel
for {set i 0} {$i < 100000} {incr i} {
    incr sum $i                                 ;# and something more
}
check $channel

# The rest waits: the write is kept if there is no connection yet, the read waits for the connection and
# then for data, both within the receive timeout (30 seconds unless it is set).
if {[catch {
    ns_connchan write $channel "HELO\r\n"
    set reply [ns_connchan read $channel]
    if {[dict get [ns_connchan status $channel] connecting]} {
        error "no connection in time"
    }
} problem]} {
    puts stderr "async-blocking.tcl: $problem"
    exit 1
}
puts -nonewline $reply
ns_connchan close $channel
