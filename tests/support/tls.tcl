# tls.tcl -- TLS peers for the suites, sourced after common.tcl (or after tools.tcl, in a child
# process or a thread): Python's ssl module, openssl s_server and s_client, listeners of ours.
#
# A listener's configuration cannot be taken back, so each gets a driver name of its own.

source [file join $supportDirectory ca.tcl]
set pythonScript tlspeer.py
lappend preludeFiles tls.tcl
caFolder

# Whether there is a tclsh8.6 with the package tls (tcl-tls).
proc tclTlsIsThere {} {
    return [expr {![catch {exec tclsh8.6 << {exit [catch {package require tls}]}}]}]
}

## Python at the other end

set contextSerial 0

# A context of the python peer; see there for the settings. Returns its name.
proc pyContext {role args} {
    set name context[incr ::contextSerial]
    python context $name $role {*}$args
    return $name
}

# A python server with TLS, whose next connection will be the peer NAME, once [python join NAME] has
# told about the handshake. Returns the port. The certificate is for localhost, unless the settings
# name another one.
proc pyServer {name args} {
    if {![llength [lsearch -glob -inline $args cert=*]]} {
        lappend args cert=[pem server.all]
    }
    set context [pyContext server {*}$args]
    set port [python listen $name.listener]
    python tlsaccept $name $name.listener $context
    return $port
}

# {channel NAME}: a channel of ours, connected to a python server with TLS.
proc tlsPair {name args} {
    set port [pyServer $name {*}$args]
    set channel [tlsConnect $port]
    python join $name
    return [list $channel $name]
}

# {channel NAME listener}: a channel of ours that a listener with TLS has accepted, and the python
# client.
proc tlsAcceptedPair {name args} {
    lassign [tlsListen {acceptInto pairAccepted}] listener port
    set ::pairAccepted {}
    python tlsconnect $name 127.0.0.1 $port [pyContext client {*}$args] localhost
    awaitWritten "an accepted channel" pairAccepted {[llength $::pairAccepted]}
    return [list [lindex $::pairAccepted 0] $name $listener]
}

# Connects to a port of this machine that speaks TLS, and trusts the tests' root.
proc tlsConnect {port args} {
    return [ns_connchan connect -tls -cafile [pem root.crt] -timeout 10 {*}$args localhost $port]
}

## The log

# From now on what the package logs goes to a file, see [logged]: a failed handshake is no error of
# the test's.
proc logToFile {} {
    ns_section -update ns/parameters
    ns_param systemlog [pem log.[pid]]
    ns_log notice "the tests' log"
    if {[info exists ::descriptorsAtStart]} {
        set ::descriptorsAtStart [descriptorCount]
    }
}

# The log's lines that the pattern matches, without their times.
proc logged {pattern} {
    set lines {}
    if {[file exists [pem log.[pid]]]} {
        foreach line [split [fileText [pem log.[pid]]] \n] {
            if {[string match $pattern $line]} {
                lappend lines [regsub {^.*?\] } $line {}]
            }
        }
    }
    return $lines
}

## Listeners of ours

set driverSerial 0

# {listener port}: a listener with TLS on 127.0.0.1. args are parameters of its section, name and
# value; without a "certificate" among them it is one for localhost.
proc tlsListen {script args} {
    if {"certificate" ni $args} {
        lappend args certificate [pem server.all]
    }
    set result [ns_connchan listen -driver [tlsDriver {*}$args] -bind 127.0.0.1 0 $script]
    return [list [dict get $result channel] [dict get $result port]]
}

# A driver name with a section of its own.
proc tlsDriver {args} {
    set name tls[incr ::driverSerial]
    if {[info exists ::thisThread]} {
        append name _ $::thisThread
    }
    ns_section ns/modules [list ns_param $name nsssl]
    ns_section ns/module/$name {
        foreach {parameter value} $args {
            ns_param $parameter $value
        }
    }
    return $name
}

# {listener port} of a listener with TLS that sends back what comes.
proc tlsEchoListen {args} {
    return [tlsListen {serve echo} {*}$args]
}

# How a python client with these settings gets on at a port of ours that sends back what comes: the
# facts of its handshake ("info"), or the error. Settings are those of [pyContext], and servername=.
proc pyVisit {port args} {
    set name visitor[incr ::contextSerial]
    set servername localhost
    set settings {}
    foreach setting $args {
        if {![regexp {^servername=(.*)$} $setting - servername]} {
            lappend settings $setting
        }
    }
    try {
        set info [python tlsconnect $name 127.0.0.1 $port [pyContext client {*}$settings] {*}$servername]
        python send $name [hex hello\n]
        set answer [python recv $name 6]
        python close $name
    } on error {message} {
        return "failed: [regsub {^.*?: error } $message {}]"
    }
    if {$answer ne [hex hello\n]} {
        return "no echo: $answer"
    }
    return $info
}

## The program openssl at the other end

# {process port}: "openssl s_server" with these arguments.
proc sServer {args} {
    if {"-cert" ni $args} {
        lappend args -cert [pem server.crt] -cert_chain [pem intermediate.crt] -key [pem leaf.key]
    }
    set process [opensslStart s_server -accept 127.0.0.1:0 {*}$args]
    set line [processLineLike $process "ACCEPT *"]
    return [list $process [lindex [split $line :] end]]
}

# "openssl s_client" to a port of this machine.
proc sClient {port args} {
    return [opensslStart s_client -connect 127.0.0.1:$port -CAfile [pem root.crt] {*}$args]
}

# What it says on standard error is among its output.
proc opensslStart {args} {
    return [processStart [list sh -c {exec openssl "$@" 2>&1} sh {*}$args]]
}

# The next line of the process that the pattern matches; those before it are dropped.
proc processLineLike {process pattern {seconds 20}} {
    while 1 {
        set line [processLine $process $seconds]
        if {[string match $pattern $line]} {
            return $line
        }
    }
}

# Everything that a process has printed until its end.
proc processAll {process {seconds 20}} {
    awaitWritten "the end of [processName $process]" [list processEnded($process)] \
        {$::processEnded($process)} $seconds
    return [join $::processLines($process) \n]
}

## The suites

if {[llength [info commands testConstraint]]} {
    testConstraint script [llength [auto_execok script]]
    testConstraint tclTls [tclTlsIsThere]
}

# The last test of a file that uses TLS.
proc tlsLastTest {} {
    caForget
    lastTest
}

## Looking at results

proc statusOf {channel args} {
    set status [ns_connchan status $channel]
    return [lmap key $args {dict get $status $key}]
}

# Message and errorCode of a script that fails, with the channel's name replaced by C.
proc failure {channel script} {
    if {![catch {uplevel 1 $script} message options]} {
        return [list "no error but" $message]
    }
    return [list [string map [list $channel C] $message] [dict get $options -errorcode]]
}

# The same for scripts that make a channel: PORT stands for the port, and nothing may be left.
proc refused {port script} {
    set channels [ns_connchan list]
    set descriptors [descriptorCount]
    set failed [catch {uplevel 1 $script} message options]
    if {!$failed} {
        return "no error but $message"
    }
    if {[ns_connchan list] ne $channels} {
        return "a channel is left after: $message"
    }
    if {[descriptorCount] != $descriptors} {
        return "a descriptor is left after: $message"
    }
    # The parts of OpenSSL's messages that differ between its versions are cut off
    set code [dict get $options -errorcode]
    return [list [string map [list "port $port " "port PORT " "port $port:" "port PORT:"] $message] $code]
}
