# tcllib-ws-echo.tcl PORT: a WebSocket echo server with tcllib's websocket package, a competitor in the benchmarks.
#
# The package reads frames and answers with them; of HTTP it leaves the request to others, so that is read here.

package require websocket

proc accept {sock address port} {
    fconfigure $sock -blocking 0 -translation crlf -buffersize 16384
    fileevent $sock readable [list request $sock]
}

# Reads the request line by line, and hands the socket over when it is whole.
proc request {sock} {
    variable lines
    while {[gets $sock line] >= 0} {
        if {$line ne ""} {
            lappend lines($sock) $line
            continue
        }
        # Version 1.4.2 fails without any protocols that are asked for; here none are.
        set headers {sec-websocket-protocol {}}
        foreach field [lrange $lines($sock) 1 end] {
            regexp {^([^:]+):\s*(.*)$} $field - name value
            lappend headers [string tolower $name] $value
        }
        set path [lindex $lines($sock) 0 1]
        unset lines($sock)
        fileevent $sock readable {}
        if {[websocket::test $::server $sock $path $headers]} {
            websocket::upgrade $sock
        } else {
            close $sock
        }
        return
    }
    if {[eof $sock]} {
        unset -nocomplain lines($sock)
        close $sock
    }
}

proc echo {sock type message} {
    switch $type {
        text - binary {
            websocket::send $sock $type $message
        }
    }
}

set server [socket -server accept -myaddr 127.0.0.1 [lindex $argv 0]]
websocket::server $server
websocket::live $server * echo
puts ready
flush stdout
vwait forever
