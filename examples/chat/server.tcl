# server.tcl -- a chat in the browser: page and WebSocket on one port, and the same over TLS.
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

# Answers a request that is no WebSocket: status, type, body.
proc page {channel request} {
    if {[dict get $request method] ni {GET HEAD}} {
        return [list 405 text/plain "only GET\n"]
    }
    set path [dict get $request path]
    if {![dict exists $::pages $path]} {
        return [list 404 text/plain "there is no such page\n"]
    }
    lassign [dict get $::pages $path] name type
    set file [open [file join $::here $name] rb]
    set body [read $file]
    close $file
    return [list 200 $type $body]
}

# Listens on one port, and returns the URL.
proc serve {port args} {
    # A message of the page is at most 4 bytes a character, and some for its other fields.
    set longest [expr {4 * $::chat::limit(text) + 1000}]
    set listener [ws::listen {*}$args -address $::option(address) -path /chat -http page \
        -maxmessage $longest -maxframe $longest -maxbuffer $::option(maxbuffer) \
        -ping 20s -pongwait 10s $port chat::event]
    set host [expr {$::option(address) eq "*" ? [info hostname] : $::option(address)}]
    if {[string match *:* $host]} {
        set host \[$host\]
    }
    return $host:[dict get $listener port]/
}

if {[catch {
    puts "http://[serve $option(port)]"
    if {$option(tlsport) ne ""} {
        ns_section ns/module/nsssl
        ns_param certificate $option(certificate)
        puts "https://[serve $option(tlsport) -tls 1]"
    }
} problem]} {
    puts stderr "server.tcl: $problem"
    exit 1
}
puts ready
flush stdout
vwait forever
