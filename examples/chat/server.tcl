# server.tcl -- a chat in the browser: page and WebSocket on one port, and the same over TLS. The page
# is served as files by handlers; the connection of a request for the WebSocket is detached.
#
#   tclsh server.tcl ?-port 8080? ?-tlsport 8443 -certificate FILE? ?-address 127.0.0.1? ?-LIMIT N ...?
#
# Port 0 is any that is free. The certificate is a PEM file that holds the key, too. Address * is
# for all of the machine's, so that a phone can join. The limits are those of rooms.tcl, and
# maxbuffer: bytes that may wait for a slow reader before it is dropped.
# Prints the URLs, then `ready`.

package require ws

set here [file dirname [file normalize [info script]]]
source [file join $here rooms.tcl]

array set option {port 8080 tlsport {} certificate {} address 127.0.0.1 maxbuffer 4000000}
foreach {name value} $argv {
    set key [string range $name 1 end]
    if {[info exists option($key)]} {
        set option($key) $value
    } elseif {[info exists chat::limit($key)] && [string is double -strict $value]} {
        set chat::limit($key) $value
    } else {
        puts stderr "server.tcl: unknown option \"$name\", or a wrong value"
        exit 2
    }
}

# The files of the page. Nothing else is served, whatever path is asked for.
set pages {
    / {index.html {text/html; charset=utf-8}}
    /chat.css {chat.css {text/css; charset=utf-8}}
    /chat.js {chat.js {text/javascript; charset=utf-8}}
    /connection.js {connection.js {text/javascript; charset=utf-8}}
}

# Answers a request for a page: browsers that have it already are told so.
proc page {} {
    if {![dict exists $::pages [ns_conn url]]} {
        ns_returnnotfound
        return
    }
    lassign [dict get $::pages [ns_conn url]] name type
    ns_returnfile 200 $type [file join $::here $name]
}

# Takes over the connection of a request for a WebSocket.
proc connect {} {
    set headers [ns_conn headers]
    # A message of the page is at most 4 bytes a character, and some for its other fields.
    set longest [expr {4 * $::chat::limit(text) + 1000}]
    ws::handshake -target [ns_conn target] -version [ns_conn version] \
        -maxmessage $longest -maxframe $longest -maxbuffer $::option(maxbuffer) \
        -ping 20s -pongwait 10s [ns_connchan detach] $headers chat::event
}

ns_register_proc GET / page
ns_register_proc HEAD / page
ns_register_proc -noinherit GET /chat connect
# Nothing may be posted (405).
ns_unregister_op POST /

# Serves on one port, and returns the URL.
proc serve {port args} {
    set served [ns_serve -address $::option(address) -port $port {*}$args]
    if {$::option(address) ne "*"} {
        return [dict get $served url]/
    }
    return [regsub {//.*$} [dict get $served url] {}]//[info hostname]:[dict get $served port]/
}

if {[catch {
    puts [serve $option(port)]
    if {$option(tlsport) ne ""} {
        puts [serve $option(tlsport) -tls -cert $option(certificate)]
    }
} problem]} {
    puts stderr "server.tcl: $problem"
    exit 1
}
puts ready
flush stdout
vwait forever
