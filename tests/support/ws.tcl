# ws.tcl -- what the suites of the package ws share: listeners and clients whose events become notes,
# and a peer that speaks WebSocket by hand over a plain Tcl socket, so that neither end of a test is
# the code under test twice.

package require ws

set wsCallbacks {}

# The callback of most tests: notes name and event (of `open` not its long data), and keeps the
# channel as ::wsChannel(name) and the data of `open` as ::wsOpen(name). What [wsOn name event script]
# has set is evaluated then, at global level, with ::channel and ::data set.
proc wsHeard {name channel event data} {
    if {$event eq "open"} {
        set ::wsOpen($name) $data
        set ::wsChannel($name) $channel
        note $name open
    } elseif {$event eq "drain"} {
        note $name drain
    } else {
        note $name $event $data
    }
    if {[dict exists $::wsCallbacks $name $event]} {
        set ::channel $channel
        set ::data $data
        uplevel #0 [dict get $::wsCallbacks $name $event]
    }
}

proc wsOn {name event script} {
    dict set ::wsCallbacks $name $event $script
}

# Forgets what the test before has set. To be the -setup of tests that use the above.
proc wsClean {} {
    set ::wsCallbacks {}
    array unset ::wsChannel
    array unset ::wsOpen
}

# The port of a listener whose events are noted as those of `server`.
proc wsListen {args} {
    return [dict get [ws::listen {*}$args 0 {wsHeard server}] port]
}

# A client whose events are noted as those of `client`; returns when it is open at both ends.
proc wsConnect {port args} {
    set channel [ws::client::open -callback {wsHeard client} {*}$args ws://127.0.0.1:$port/]
    awaitNote {client open}
    return $channel
}

# Waits for a note, which may already be there; returns all notes.
proc awaitNote {wanted {seconds 10}} {
    if {[catch {
        awaitWritten "the note {$wanted}" notes {$wanted in $::notes} $seconds
    } message options]} {
        return -options $options "[string range $message 0 200], got: [string range $::notes 0 1000]"
    }
    return $::notes
}

# The notes of one name, without it.
proc notesOf {name} {
    return [lmap note $::notes {
        if {[lindex $note 0] ne $name} continue
        lrange $note 1 end
    }]
}

# The log goes to a file. What the script, in the caller's scope, has written there; what others write
# is an error at the end of the suite.
close [file tempfile wsLogFile]
ns_section ns/parameters [list ns_param systemlog $wsLogFile]
ns_log notice "the log is open"
set wsLogSeen [file size $wsLogFile]
if {[testConstraint linux]} {
    set descriptorsAtStart [descriptorCount]
}

proc logOf {script} {
    uplevel 1 $script
    set text [string range [fileText $::wsLogFile] $::wsLogSeen end]
    incr ::wsLogSeen [string length $text]
    return $text
}

# The end of a suite.
proc wsLastTests {} {
    test $::concept-98.1 {nothing was logged that no test has asked for} -body {
        logOf {}
    } -result {}
    file delete $::wsLogFile
    lastTest
}

## The peer by hand

# A request for an upgrade. Fields are a dictionary that changes or adds header fields; an empty value
# takes one out.
proc wsRequest {{fields {}} {line {GET / HTTP/1.1}}} {
    set all [dict merge {
        Host localhost Upgrade websocket Connection Upgrade
        Sec-WebSocket-Key dGhlIHNhbXBsZSBub25jZQ== Sec-WebSocket-Version 13
    } $fields]
    set text $line\r\n
    dict for {name value} $all {
        if {$value ne ""} {
            append text "$name: $value\r\n"
        }
    }
    return $text\r\n
}

# Connects by hand and makes the handshake: the socket.
proc wsPeer {port {fields {}} {line {GET / HTTP/1.1}}} {
    set peer [tclConnect $port]
    peerWrite $peer [wsRequest $fields $line]
    set head [wsHead $peer]
    if {![string match "HTTP/1.1 101 *" $head]} {
        error "no handshake: $head"
    }
    return $peer
}

# A response or request head, up to the empty line.
proc wsHead {peer} {
    set ::wsHead($peer) ""
    set ::wsHeadDone($peer) 0
    fconfigure $peer -blocking 0
    fileevent $peer readable [list wsHeadReadable $peer]
    try {
        awaitWritten "a head from $peer" [list wsHeadDone($peer)] {$::wsHeadDone($peer)}
    } finally {
        fileevent $peer readable {}
        fconfigure $peer -blocking 1
    }
    return $::wsHead($peer)
}

proc wsHeadReadable {peer} {
    while {[set byte [read $peer 1]] ne ""} {
        append ::wsHead($peer) $byte
        if {[string range $::wsHead($peer) end-3 end] eq "\r\n\r\n"} {
            set ::wsHeadDone($peer) 1
            return
        }
    }
    if {[eof $peer]} {
        set ::wsHeadDone($peer) 1
    }
}

# Status line and fields of the answer to a request, and its body: the server has to close.
proc wsAnswer {port request} {
    set peer [tclConnect $port]
    peerWrite $peer $request
    set answer [peerReadAll $peer]
    close $peer
    set end [string first \r\n\r\n $answer]
    set lines [split [string map {\r\n \n} [string range $answer 0 [expr {$end - 1}]]] \n]
    set fields {}
    foreach line [lrange $lines 1 end] {
        regexp {^([^:]+): (.*)$} $line - name value
        lappend fields $name $value
    }
    return [dict create status [lindex $lines 0] fields $fields body [string range $answer $end+4 end]]
}

# A frame, masked as a client has to.
proc wsFrame {opcode payload args} {
    set settings [dict merge {-fin 1 -rsv 0 -mask 6e288316} $args]
    set length [string length $payload]
    set key [dict get $settings -mask]
    set bit [expr {$key eq "" ? 0 : 0x80}]
    set frame [binary format c [expr {[dict get $settings -fin] << 7 | [dict get $settings -rsv] << 4 | $opcode}]]
    if {$length < 126} {
        append frame [binary format c [expr {$bit | $length}]]
    } elseif {$length < 65536} {
        append frame [binary format cS [expr {$bit | 126}] $length]
    } else {
        append frame [binary format cW [expr {$bit | 127}] $length]
    }
    if {$key eq ""} {
        return $frame$payload
    }
    binary scan [bytes $key] cu4 keys
    binary scan $payload cu* numbers
    set masked {}
    set i 0
    foreach number $numbers {
        lappend masked [expr {$number ^ [lindex $keys [expr {$i & 3}]]}]
        incr i
    }
    return $frame[bytes $key][binary format c* $masked]
}

# The next frame that the peer receives, not masked: opcode and payload.
proc wsReadFrame {peer} {
    binary scan [peerRead $peer 2] cucu first length
    if {$length == 126} {
        binary scan [peerRead $peer 2] Su length
    } elseif {$length == 127} {
        binary scan [peerRead $peer 8] W length
    }
    set payload [expr {$length ? [peerRead $peer $length] : ""}]
    return [list [expr {$first & 15}] $payload]
}

# A close frame's payload.
proc wsCode {code {reason ""}} {
    return [binary format S $code]$reason
}

# The server that a client under test meets: accepts, makes the handshake, returns the socket.
proc wsServe {server {fields {}}} {
    set peer [tclAccept $server]
    set request [wsHead $peer]
    regexp {Sec-WebSocket-Key: (\S+)} $request - key
    peerWrite $peer [wsAccept $key $fields]
    return $peer
}

proc wsAccept {key {fields {}}} {
    set accept [exec openssl dgst -sha1 -binary << ${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11 \
        | openssl base64]
    set text "HTTP/1.1 101 Switching Protocols\r\n"
    dict for {name value} [dict merge [dict create Upgrade websocket Connection Upgrade \
            Sec-WebSocket-Accept $accept] $fields] {
        if {$value ne ""} {
            append text "$name: $value\r\n"
        }
    }
    return $text\r\n
}

# The next frame from a client, unmasked: opcode and payload. It has to be masked.
proc wsReadMasked {peer} {
    binary scan [peerRead $peer 2] cucu first length
    if {!($length & 0x80)} {
        error "a client's frame is not masked"
    }
    set length [expr {$length & 0x7f}]
    if {$length == 126} {
        binary scan [peerRead $peer 2] Su length
    }
    binary scan [peerRead $peer 4] cu4 keys
    set numbers {}
    if {$length} {
        binary scan [peerRead $peer $length] cu* numbers
    }
    set i -1
    return [list [expr {$first & 15}] [binary format c* [lmap number $numbers {
        expr {$number ^ [lindex $keys [expr {[incr i] & 3}]]}
    }]]]
}
