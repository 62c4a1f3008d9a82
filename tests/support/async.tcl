# async.tcl -- what the suites on connecting without waiting share; sourced after common.tcl, or after
# tools.tcl in a child process.
#
# Such a test has to fix the moment: here are peers that leave a connection unfinished for as long as
# the test likes, and then let it succeed or fail.

# {connecting error errorcode} of a channel.
proc progress {channel} {
    set status [ns_connchan status $channel]
    return [lmap key {connecting error errorcode} {dict get $status $key}]
}

proc isConnecting {channel} {
    return [dict get [ns_connchan status $channel] connecting]
}

# Waits for the end of connecting and returns its progress.
proc awaitEnd {channel {seconds 10}} {
    awaitThat "the end of connecting" {![isConnecting $channel]} $seconds
    return [progress $channel]
}

# The same without ever entering the event loop.
proc spinToEnd {channel {seconds 10}} {
    set deadline [expr {[clock milliseconds] + 1000 * $seconds}]
    while {[isConnecting $channel]} {
        if {[clock milliseconds] > $deadline} {
            error "still connecting after $seconds s"
        }
        after 1
    }
    return [progress $channel]
}

# Message and errorCode of a script that fails; the channel's name is replaced by C, the port by P.
proc failure {channel script {port {}}} {
    if {![catch {uplevel 1 $script} message options]} {
        return [list "no error but" $message]
    }
    set map [list $channel C]
    if {$port ne ""} {
        lappend map "port $port" "port P"
    }
    return [string map $map [list $message [dict get $options -errorcode]]]
}

# Sets a parameter of ns/parameters, until [parameter] sets all of them to their defaults.
proc parameter {args} {
    ns_section -update ns/parameters
    if {![llength $args]} {
        set args {connchanconnectwait 2m connchanrecvwait 30s connchanmaxsendbuffer 268435456}
    }
    foreach {name value} $args {
        ns_param $name $value
    }
}

## Unix sockets: {channel path}. The queue of the socket "queue" of the python peer is full, so the
## connection stays unfinished until [python release queue], and fails with [python close queue].

proc unixHalfway {{data {}}} {
    set path [file join [unixFolder] full[incr ::unixSerial]]
    python unixfull queue $path
    set channel [ns_connchan open -timeout 0 -unix_socket $path http://unix.test/]
    if {$data ne ""} {
        ns_connchan write $channel $data
    }
    return [list $channel $path]
}

set unixSerial 0
# What [open] sends by itself.
set unixRequest "GET / HTTP/1.0\r\n\r\n"

proc unixFolder {} {
    if {![info exists ::unixFolder]} {
        close [file tempfile name ns_connchan-async]
        file delete $name
        file mkdir $name
        set ::unixFolder $name
    }
    return $::unixFolder
}

proc unixForget {} {
    if {[info exists ::unixFolder]} {
        file delete -force $::unixFolder
        unset ::unixFolder
    }
}

## TLS: a gate in front of a server. It takes connections and leaves them alone until [gateOpen]: then
## they are passed on; after [gateSpoil] they get an answer that is no TLS.

proc gate {target} {
    set server [socket -server gateTake -myaddr 127.0.0.1 0]
    set ::gateTarget $target
    set ::gateHeld {}
    return [lindex [fconfigure $server -sockname] 2]
}

proc gateTake {socket host port} {
    fconfigure $socket -translation binary -blocking 0 -buffering none
    lappend ::gateHeld $socket
}

# Waits until there is a connection, and lets it through.
proc gateOpen {} {
    set socket [gateNext]
    set onward [tclConnect $::gateTarget]
    fconfigure $onward -blocking 0
    foreach {from to} [list $socket $onward $onward $socket] {
        fileevent $from readable [list gatePass $from $to]
    }
    return $socket
}

proc gateSpoil {} {
    set socket [gateNext]
    puts -nonewline $socket "220 this is no TLS\r\n"
    return $socket
}

proc gateNext {} {
    awaitWritten "a connection at the gate" gateHeld {[llength $::gateHeld]}
    set ::gateHeld [lassign $::gateHeld socket]
    return $socket
}

proc gatePass {from to} {
    if {[catch {puts -nonewline $to [read $from]}] || [eof $from]} {
        catch {close $from}
        catch {close $to}
    }
}

# The path of a certificate for localhost and 127.0.0.1 with its key, trusted by nobody but whoever
# names it.
proc certificate {} {
    if {![info exists ::certificate]} {
        set file [file join [unixFolder] localhost.pem]
        exec -ignorestderr openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
            -days 30 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
            -keyout $file.key -out $file 2> /dev/null
        set text [fileText $file][fileText $file.key]
        set out [open $file w]
        puts -nonewline $out $text
        close $out
        set ::certificate $file
    }
    return $::certificate
}

# The port of a TLS listener of ours whose connections are taken by the accept script.
proc tlsServer {script} {
    ns_section ns/modules {ns_param asynctls nsssl}
    ns_section ns/module/asynctls {
        ns_param certificate [certificate]
    }
    return [dict get [ns_connchan listen -driver asynctls -bind 127.0.0.1 0 $script] port]
}

# {channel port}: a TLS connection that stays unfinished until the gate is opened or spoils it; behind
# the gate is a server that echoes.
proc tlsHalfway {args} {
    set port [gate [tlsServer {serve echo}]]
    return [list [ns_connchan connect -timeout 0 -tls -cafile [certificate] {*}$args 127.0.0.1 $port] \
        $port]
}

if {[llength [info commands testConstraint]]} {
    testConstraint openssl [llength [auto_execok openssl]]
}
