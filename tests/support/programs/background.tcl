# background.tcl -- requests that are answered by jobs: one that takes long, one that streams a lot at
# the client's pace, one that hands out a file piece by piece.

namespace eval ::background {}

proc ::background::queue {script} {
    if {"q1" ni [ns_job queues]} {
        catch {ns_job create q1}     ;# another thread may have been first
    }
    return [ns_job queue -detached q1 $script]
}

# Answers later.
proc ::background::slow {} {
    ns_log notice "REQUEST START [ns_conn request]\n[ns_set format [ns_conn headers]]"
    set channel [ns_connchan detach]
    ::background::queue [subst {
        ns_log notice "start detached job"
        ns_sleep 200ms
        ns_connchan write $channel "HTTP/1.0 200 OK\r\n\r\n"
        ns_connchan close $channel
        ns_log notice "DONE detached job"
    }]
    ns_log notice "REQUEST DONE"
}

# Writes so many bytes, and waits while the client is slower.
proc ::background::stream {channel count} {
    ns_connchan write $channel "HTTP/1.1 200 OK\r\nContent-Length: $count\r\n\r\n"
    set piece [string repeat 0123456789 6554]
    try {
        while {$count > 0} {
            ns_connchan write $channel [string range $piece 0 $count-1]
            incr count -[string length $piece]
            while {[dict get [ns_connchan status $channel] sendbuffer] > 0} {
                ns_sleep 1ms
                ns_connchan write $channel ""
            }
        }
    } on error {message} {
        ns_log Warning "stream: $message"
        nsv_incr background lost
    } finally {
        ns_connchan close $channel
    }
}

ns_register_proc GET /slow ::background::slow
ns_register_proc GET /stream {
    ::background::queue [list ::background::stream [ns_connchan detach] [ns_conn query]]
}
