# A chat for line-based clients (nc, telnet) on 127.0.0.1:
#     tclsh chat.tcl PORT
# The first line of each client is its name. Prints `ready` when it listens.
package require ns_connchan

namespace eval chat {
    variable input          ;# channel -> what has come of the next line
    variable name           ;# channel -> name, once it is known
    array set input {}
    array set name {}
    variable maxLine 4096           ;# bytes that a line may have
    variable maxWaiting 1000000     ;# bytes that may wait for a slow client
}

proc chat::accept {channel} {
    variable input
    set input($channel) ""
    ns_connchan callback $channel [list chat::event $channel] r
    send $channel "Your name?\n"
    return 1
}

proc chat::event {channel reason} {
    if {$reason eq "r"} {
        receive $channel
    } else {
        drain $channel
    }
    return 1            ;# of no meaning for a channel that has been closed
}

# Takes what has arrived apart into lines. Bytes stay bytes: whatever encoding
# the clients use among themselves goes through.
proc chat::receive {channel} {
    variable input
    variable maxLine
    if {[catch {ns_connchan read $channel} data] || [string length $data] == 0} {
        leave $channel
        return
    }
    set lines [split $input($channel)$data \n]
    set input($channel) [lindex $lines end]
    foreach line [lrange $lines 0 end-1] {
        hear $channel [string trimright $line \r]
        if {![info exists input($channel)]} {return}    ;# gone meanwhile
    }
    if {[string length $input($channel)] > $maxLine} {
        leave $channel
    }
}

proc chat::hear {channel line} {
    variable name
    if {[info exists name($channel)]} {
        tell "$name($channel): $line\n"
    } elseif {$line ne ""} {
        set name($channel) $line
        tell "* $line has joined\n"
    }
}

# Sends to everyone who has a name. Whoever cannot be reached leaves, which is
# told only when all have been served.
proc chat::tell {text} {
    variable name
    set lost {}
    foreach channel [array names name] {
        if {![send $channel $text]} {lappend lost $channel}
    }
    foreach channel $lost {
        leave $channel
    }
}

# Sends, or keeps for later what the client does not take now. False when the
# client is gone, or so slow that more than maxWaiting bytes wait for it.
proc chat::send {channel text} {
    variable maxWaiting
    if {[catch {ns_connchan write $channel $text}]} {return 0}
    set waiting [dict get [ns_connchan status $channel] sendbuffer]
    if {$waiting > 0} {
        ns_connchan callback $channel [list chat::event $channel] rw
    }
    return [expr {$waiting <= $maxWaiting}]
}

proc chat::drain {channel} {
    if {[catch {ns_connchan write $channel ""}]} {
        leave $channel
    } elseif {[dict get [ns_connchan status $channel] sendbuffer] == 0} {
        ns_connchan callback $channel [list chat::event $channel] r
    }
}

proc chat::leave {channel} {
    variable input
    variable name
    if {![info exists input($channel)]} {return}
    ns_connchan close $channel
    unset input($channel)
    if {[info exists name($channel)]} {
        set who $name($channel)
        unset name($channel)
        tell "* $who has left\n"
    }
}

ns_connchan listen -bind 127.0.0.1 [lindex $argv 0] chat::accept
puts ready
flush stdout
vwait forever
