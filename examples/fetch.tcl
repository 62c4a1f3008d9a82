# Prints the response to a GET of a plain-http URL, head and body:
#     tclsh fetch.tcl URL
# Exits with 1 and a message when something fails.
package require ns_connchan

# Called when something has arrived, and with `t` when nothing has for a
# while. What goes wrong is kept for the main program: an error that leaves a
# callback is logged, but ends nobody's vwait.
proc receive {channel reason} {
    set problem ""
    if {$reason eq "t"} {
        set problem "no data for 30 seconds"
    } elseif {[catch {ns_connchan read $channel} data]} {
        set problem $data
    } elseif {[string length $data] > 0} {
        puts -nonewline $data
        return 1                                ;# there may be more
    }
    set ::problem $problem
    return 0                                    ;# close the channel
}

set url [lindex $argv 0]
if {$argc != 1 || ![regexp {^http://(?:[^/?#]*@)?([^/?#]+)} $url - host]} {
    puts stderr "usage: fetch.tcl http://HOST/PATH"
    exit 2
}
fconfigure stdout -translation binary

# `open` sends these header fields and no others.
set headers [ns_set create Host $host User-Agent fetch.tcl Accept */*]
if {[catch {ns_connchan open -headers $headers -timeout 5s $url} channel]} {
    puts stderr "fetch.tcl: $channel"
    exit 1
}
ns_connchan callback -timeout 30s $channel [list receive $channel] r
vwait problem
flush stdout
if {$problem ne ""} {
    puts stderr "fetch.tcl: $problem"
    exit 1
}
