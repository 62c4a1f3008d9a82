# Drives an echo server on 127.0.0.1:
#     tclsh drive.tcl PORT CONNECTIONS SECONDS
# On each connection a message of 64 bytes is sent; when it has come back whole
# and unchanged, the next one. Prints what was counted; exits with 1 when an
# answer is wrong, late or missing.
package require ns_connchan

if {$argc != 3} {
    puts stderr "usage: drive.tcl PORT CONNECTIONS SECONDS"
    exit 2
}
lassign $argv port connections seconds

set messages 0          ;# answers that were right
set stopping 0          ;# the time is over: wait for what is under way
set open 0              ;# connections that are open

proc start {number} {
    set channel [ns_connchan connect -timeout 5s 127.0.0.1 $::port]
    incr ::open
    set text [format "%-63s\n" "the message of connection $number"]
    set message [encoding convertto utf-8 $text]
    set ::answer($channel) ""
    ns_connchan callback -timeout 5s $channel [list hear $channel $message] r
    ns_connchan write $channel $message
}

proc hear {channel message reason} {
    if {$reason eq "t"} {return [fail "no answer within 5 seconds"]}
    if {[catch {
        set data [ns_connchan read $channel]
        append ::answer($channel) $data
    } problem]} {return [fail $problem]}

    if {[string length $data] == 0} {return [fail "the server has closed a connection"]}
    if {[string length $::answer($channel)] < [string length $message]} {
        return 1                                ;# the rest is still to come
    }
    if {$::answer($channel) ne $message} {return [fail "a wrong answer"]}
    incr ::messages
    if {$::stopping} {
        if {[incr ::open -1] == 0} {set ::outcome ""}
        return 0                                ;# close this connection
    }
    set ::answer($channel) ""
    if {[catch {ns_connchan write $channel $message} problem]} {return [fail $problem]}
    return 1
}

proc fail {problem} {
    set ::outcome $problem
    return 0
}

if {[catch {
    for {set number 1} {$number <= $connections} {incr number} {start $number}
} problem]} {
    puts stderr "drive.tcl: $problem"
    exit 1
}
set begin [clock microseconds]
after [expr {round(1000 * $seconds)}] {set stopping 1}
vwait outcome
set took [expr {([clock microseconds] - $begin) / 1e6}]

if {$outcome ne ""} {
    puts stderr "drive.tcl: $outcome"
    exit 1
}
set length 64
puts [format "  %-14s %d, all at once" connections $connections]
puts [format "  %-14s %d in %.1f seconds: %.0f a second" messages $messages $took [expr {$messages / $took}]]
puts [format "  %-14s %d each way" bytes [expr {$messages * $length}]]
puts [format "  %-14s %.2f ms on average" "round trip" [expr {1000.0 * $took * $connections / $messages}]]
