# fileevent-echo.tcl PORT ?BUFFERSIZE?: an echo server with Tcl's own sockets, the competitor in the
# benchmarks.
#
# Written to be as fast as Tcl's channels allow, under 8.6 and 9.0 alike, since a comparison with a slow
# script would say nothing:
# - the callbacks are lists of a command and its argument, which Tcl calls without parsing, and their bodies
#   are procs, which it compiles;
# - data stays a byte array: it is looked at by its length alone, a comparison with "" would make a string of
#   it. (Tcl 9.0.1 makes one anyway when it writes to a binary channel, and 16 KiB are slow there for that
#   reason; no option of fconfigure avoids it);
# - the buffers are as large as the reads, so that 16 KiB are one recv and one send. Tcl keeps such buffers as
#   long as the channel lives; where memory is what counts, 4096 (Tcl's default) can be given as BUFFERSIZE;
# - what the peer does not take at once is kept and sent later by Tcl itself.

lassign $argv port bufferSize
if {$bufferSize eq ""} {
    set bufferSize 16384
}
set options [list -blocking 0 -translation binary -buffering none -buffersize $bufferSize]
if {[package vsatisfies [info patchlevel] 9-]} {
    lappend options -nodelay 1
}

proc accept {options sock address port} {
    fconfigure $sock {*}$options
    fileevent $sock readable [list echo $sock]
}

proc echo {sock} {
    # A peer that resets its connection makes read fail, one that went away puts.
    if {[catch {
        set data [read $sock 16384]
        if {[string length $data]} {
            puts -nonewline $sock $data
        } elseif {[eof $sock]} {
            close $sock
        }
    }]} {
        close $sock
    }
}

socket -server [list accept $options] -myaddr 127.0.0.1 $port
puts ready
flush stdout
vwait forever
