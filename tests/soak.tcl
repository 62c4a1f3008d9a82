# soak.tcl -- opens, uses and closes channels, again and again, in one process, and fails when it grows.
#
#   tclsh tests/soak.tcl ?COUNT?        COUNT connections, 100000 unless given
#
# Not part of all.tcl. Both ends of every connection are channels of ours, so COUNT connections are
# twice as many channels. After a tenth of them, with all channels closed, the descriptors and the
# resident memory are noted; after the rest there must be no descriptor more, and no more than 2 MB.

source [file join [file dirname [file normalize [info script]]] support load.tcl]
source [file join [file dirname [file normalize [info script]]] support tools.tcl]

set total [expr {[llength $argv] ? [lindex $argv 0] : 100000}]
if {![string is integer -strict $total] || $total < 100} {
    puts stderr "usage: soak.tcl ?COUNT?, 100 or more"
    exit 2
}
set allowedKilobytes 2048
set side 20

# Each connection goes one of several ways to its end.
proc accepted {channel} {
    ns_connchan callback -timeout 60 $channel [list answering $channel] rex
    return 1
}

proc answering {channel reason} {
    if {$reason ne "r" || [catch {ns_connchan read $channel} bytes] || $bytes eq ""} {
        return 0
    }
    ns_connchan write $channel $bytes
    return 1
}

proc begin {} {
    if {$::started >= $::goal} {
        return
    }
    set number [incr ::started]
    set channel [ns_connchan connect -timeout 30 127.0.0.1 $::port]
    ns_connchan callback -timeout 60 -receivetimeout 30 $channel [list conversing $channel $number] rw
}

proc conversing {channel number reason} {
    switch -- $reason {
        w {
            ns_connchan write $channel [string repeat $number 10]
            ns_connchan callback -timeout 60 $channel [list conversing $channel $number] r
            return 1
        }
        r {
            if {[ns_connchan read $channel] ne [string repeat $number 10]} {
                puts stderr "wrong answer on $channel"
                exit 1
            }
        }
        default {
            puts stderr "$channel got $reason"
            exit 1
        }
    }
    # The ends: closed by the script, by its result, suspended and closed later, after a large write
    switch [expr {$number % 4}] {
        0 {
            ns_connchan close $channel
            finished
            return 1
        }
        1 {
            finished
            return 0
        }
        2 {
            after 0 [list closing $channel]
            return 2
        }
        3 {
            ns_connchan status $channel
            ns_connchan callback $channel [list conversing $channel $number] x
            after 0 [list closing $channel]
            return 1
        }
    }
}

proc closing {channel} {
    ns_connchan close $channel
    finished
}

proc finished {} {
    if {[incr ::done] % 1000 == 0} {
        # A failure now and then, and a look at all channels
        catch {ns_connchan connect 127.0.0.1 1}
        ns_connchan list
    }
    if {$::done >= $::goal} {
        set ::over 1
    } else {
        after 0 begin
    }
}

# Goes on until that many connections have been made, used and closed. Returns the resident kilobytes
# and the descriptors with nothing open but the listener.
proc runTo {goal} {
    set ::goal $goal
    for {set i 0} {$i < $::side} {incr i} {
        begin
    }
    set guard [after [expr {$goal * 10 + 60000}] {
        puts stderr "soak: not at an end, $done of $goal done"
        exit 1
    }]
    vwait ::over
    after cancel $guard
    awaitThat "the last channels to close" {[llength [ns_connchan list]] == 1} 30
    return [list [residentKilobytes] [descriptorCount]]
}

lassign [openListener accepted] listener port
set started 0
set done 0
set start [clock milliseconds]
lassign [runTo [expr {$total / 10}]] kilobytesBefore descriptorsBefore
lassign [runTo $total] kilobytes descriptors
set elapsed [expr {max(1, [clock milliseconds] - $start)}]
ns_connchan close $listener

set grown [expr {$kilobytes - $kilobytesBefore}]
puts "soak: $done connections in [expr {$elapsed / 1000.0}] s,\
    [expr {$done * 1000 / $elapsed}] a second; memory $kilobytes kB, grown by $grown kB;\
    descriptors $descriptors, before $descriptorsBefore"
if {$grown > $allowedKilobytes} {
    puts stderr "soak: the memory has grown by $grown kB, $allowedKilobytes kB are allowed"
    exit 1
}
if {$descriptors > $descriptorsBefore} {
    puts stderr "soak: there are [expr {$descriptors - $descriptorsBefore}] descriptors more"
    exit 1
}
exit 0
