# overtls.tcl -- pairs of tools.tcl once more, with TLS between the channel and its peer, and suites
# of plain channels run over them. Sourced after tls.tcl.
#
# A relay in the python peer stands between: it speaks TLS to the channel, and passes the bytes, the
# end of file and a reset on to a plain Tcl socket and back. So a test need not know.

lappend preludeFiles overtls.tcl

# The words as they were have "plain" in front; they call each other under those names.
foreach name {openListener listenPair peerWrite settle} {
    set body [info body $name]
    foreach other {openListener listenPair} {
        set body [string map [list "\[$other" "\[plain[string totitle $other 0 0]"] $body]
    }
    proc plain[string totitle $name 0 0] [info args $name] $body
}
unset name other body

# {channel peer}: the channel was made by connect -tls.
proc connectedPair {} {
    lassign [tclListener] server port
    set channel [tlsConnect [relayFor $port]]
    set peer [tclAccept $server]
    close $server
    return [list $channel $peer]
}

# {listener port}: a listener of ours with TLS, and the port of a relay without.
proc openListener {script} {
    lassign [tlsListen $script] listener port
    return [list $listener [relayTo $port]]
}

# {accepted connected listener}: both ends are channels of ours. There has to be another process in
# between: while one end waits in connect, nobody serves the other.
proc listenPair {} {
    lassign [openListener {acceptInto pairAccepted}] listener port
    set ::pairAccepted {}
    set connected [tlsConnect [relayFor $port]]
    awaitWritten "an accepted channel" pairAccepted {[llength $::pairAccepted]}
    return [list [lindex $::pairAccepted 0] $connected $listener]
}

# {channel name}: a channel of ours connected to the python peer.
proc pythonPair {name} {
    return [tlsPair $name]
}

# What was written has arrived at the channel when this returns, as over a plain socket. The event
# loop is not entered meanwhile.
proc peerWrite {peer bytes} {
    plainPeerWrite $peer $bytes
    if {$::pythonAsked || ![info exists ::pythonPeer]} {
        return
    }
    set pipe $::pythonPeer
    fileevent $pipe readable {}
    fconfigure $pipe -blocking 1
    puts $pipe quiet
    if {[gets $pipe line] < 0 || $line ne "ok"} {
        error "the relay is not well: $line"
    }
    fconfigure $pipe -blocking 0
    fileevent $pipe readable [list processReadable $pipe]
}

# Counts the questions that wait for an answer.
set pythonAsked 0
rename python pythonAsk
proc python {args} {
    incr ::pythonAsked
    try {
        return [pythonAsk {*}$args]
    } finally {
        incr ::pythonAsked -1
    }
}

proc settle {} {
    if {[info exists ::pythonPeer]} {
        python quiet
    }
    plainSettle
}

# The port of a relay that speaks TLS to who connects, and none to the port.
proc relayFor {port} {
    return [python relay relay plain $port tls [pyContext server cert=[pem server.all]]]
}

# The port of a relay that speaks TLS to the port, and none to who connects.
proc relayTo {port} {
    return [python relay relay tls $port [pyContext client] plain]
}

# Runs those tests of another suite that make pairs; their names get "tls" in front. Those that one
# of the patterns matches are left out.
proc runOverTls {file leftOut} {
    set ::leftOut $leftOut
    rename test testOverTls
    rename lastTest lastTestOverTls
    proc lastTest {} {}
    proc test {name title args} {
        foreach pattern $::leftOut {
            if {[string match $pattern $name]} {
                return
            }
        }
        if {[regexp {\[(connectedPair|acceptedPair|listenPair|pythonPair|openListener)} $args]} {
            uplevel 1 [list testOverTls tls$name $title {*}$args]
        }
    }
    uplevel #0 [list source [file join $::supportDirectory .. $file]]
    rename test {}
    rename lastTest {}
    rename testOverTls test
    rename lastTestOverTls lastTest
}
