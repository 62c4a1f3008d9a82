# fileevent-http.tcl PORT: an HTTP server of the fewest commands that Tcl's own sockets need for it, a competitor in
# the benchmarks. It knows GET of /hello and /big and keep-alive, and nothing else: no Tcl server that checks what it
# reads can be faster.

set answers [dict create \
    /hello [list text/plain "Hello World!"] \
    /big [list application/octet-stream [string repeat x 1048576]]]

proc accept {sock address port} {
    fconfigure $sock -blocking 0 -translation {crlf binary} -buffersize 65536
    fileevent $sock readable [list request $sock]
}

proc request {sock} {
    while {[gets $sock line] >= 0} {
        if {$line ne ""} {
            lappend ::lines($sock) $line
            continue
        }
        lassign [dict get $::answers [lindex $::lines($sock) 0 1]] type body
        unset ::lines($sock)
        puts -nonewline $sock "HTTP/1.1 200 OK\r\ncontent-type: $type; charset=utf-8\r\ncontent-length:\
            [string length $body]\r\nconnection: keep-alive\r\ndate: [date]\r\n\r\n$body"
        flush $sock
    }
    if {[eof $sock]} {
        unset -nocomplain ::lines($sock)
        close $sock
    }
}

# The time, made once a second.
set second 0
proc date {} {
    if {[clock seconds] != $::second} {
        set ::second [clock seconds]
        set ::date [clock format $::second -format {%a, %d %b %Y %H:%M:%S GMT} -gmt 1]
    }
    return $::date
}

socket -server accept -myaddr 127.0.0.1 [lindex $argv 0]
puts ready
flush stdout
vwait forever
