# Connects in the background, is told when that is over, and sends a line. The reply is printed until
# the peer closes.
#     tclsh async-notify.tcl HOST PORT ?TIMEOUT?
package require ns_connchan

# Called with `w` when connecting has ended, well or not, and with `t` when that takes too long. Until
# then the script may do anything else: nothing here waits.
proc connected {channel reason} {
    if {$reason eq "t"} {
        set ::problem "no connection within $::timeout"
        return 0
    }
    set error [dict get [ns_connchan status $channel] error]
    if {$error ne ""} {
        set ::problem $error
        return 0                                ;# close the channel
    }
    ns_connchan write $channel "HELO\r\n"
    # From now on we want to hear of data, and no more of room to write.
    ns_connchan callback -timeout 30s $channel [list receive $channel] r
    return 1
}

proc receive {channel reason} {
    if {$reason eq "t"} {
        set ::problem "no reply for 30 seconds"
    } elseif {[catch {ns_connchan read $channel} data]} {
        set ::problem $data
    } elseif {[string length $data] > 0} {
        puts -nonewline $data
        return 1
    } else {
        set ::problem ""
    }
    return 0
}

lassign $argv host port timeout
if {$argc < 2} {
    puts stderr "usage: async-notify.tcl HOST PORT ?TIMEOUT?"
    exit 2
}
if {$timeout eq ""} {
    set timeout 10s
}
fconfigure stdout -translation binary

# Only the name is looked up here: if that fails, so does this command.
if {[catch {ns_connchan connect -timeout 0 $host $port} channel]} {
    set problem $channel
} else {
    # The timeout of the callback is the one for connecting.
    ns_connchan callback -timeout $timeout $channel [list connected $channel] w
    vwait problem
}
if {$problem ne ""} {
    puts stderr "async-notify.tcl: $problem"
    exit 1
}
